"""The programs in docs/python.md and docs/other_languages.md run, and print what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT


def programs(page: str, language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert found
    return "\n".join(found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def ran(place: Path, url: str, *command: str | Path) -> str:
    environment = {**os.environ, "WHENCE_URL": url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_page(place: Path, url: str) -> None:
    text = programs("python.md", "python").replace('"http://127.0.0.1:8000"', "")
    text = (
        text.replace("target=9", "target=2").replace('target="7"', 'target="two"').replace("(1, 28, 28)", "(1, 8, 8)")
    )
    text = text.partition("batch = ")[0] + text[text.index("try:") :]  # tests/whence/test_many.py has a worker for it
    (place / "page.py").write_text(text)
    said = ran(place, url, sys.executable, "page.py")
    assert "invalid_target" in said
    assert said.count("Prediction(") == 2
    assert (place / "four.npy").stat().st_size > 128


@pytest.mark.skipif(shutil.which("node") is None, reason="no node is installed")
def test_the_javascript_of_the_page(place: Path, url: str) -> None:
    (place / "page.mjs").write_text(programs("other_languages.md", "javascript"))
    first, second = ran(place, url, "node", "page.mjs").splitlines()
    assert first.startswith("[ 1, 8, 8 ]")
    assert second.split()[0] in ("zero", "one", "two")
    assert (place / "four.png").read_bytes().startswith(b"\x89PNG")


def test_the_r_of_the_page(place: Path, url: str) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no R is installed: apt-get install r-base-core r-cran-httr2 r-cran-jsonlite")
    packages = "quit(status = !all(sapply(c('httr2', 'jsonlite'), requireNamespace, quietly = TRUE)))"
    if subprocess.run(("Rscript", "-e", packages), capture_output=True, check=False).returncode:
        pytest.skip("R has no httr2 or no jsonlite: apt-get install r-cran-httr2 r-cran-jsonlite")
    (place / "page.R").write_text(programs("other_languages.md", "r"))
    first, second = ran(place, url, "Rscript", "page.R").splitlines()
    assert first.startswith("1 8 8 ")
    assert second.strip() in ("zero", "one", "two")


def test_what_the_r_of_the_page_opens_it_closes() -> None:
    """As much of its syntax as can be told where there is no R."""
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"|#.*', "", programs("other_languages.md", "r"))
    assert '"' not in text
    while (fewer := re.sub(r"\([^()\[\]{}]*\)|\[[^()\[\]{}]*\]|\{[^()\[\]{}]*\}", "", text)) != text:
        text = fewer
    assert not set(text) & set("()[]{}")
