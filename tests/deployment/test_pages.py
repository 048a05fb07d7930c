"""Pages for operators name the settings, methods and files that there are."""

from __future__ import annotations

import re

import pytest

from service.cli.local.up import MALLOC
from service.settings import Settings as ServiceSettings
from tests.tree import ROOT
from workers.methods.catalogue import catalogue
from workers.runtime.settings import Settings as WorkerSettings


def test_the_page_on_operating_lists_every_setting_and_its_default() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    for settings in (ServiceSettings, WorkerSettings):
        for name, field in settings.model_fields.items():
            default = "" if field.default is None else str(field.default)
            assert re.search(rf"^\| `WHENCE_{name.upper()}` \| {re.escape(default)} \|", page, re.MULTILINE), name


def test_the_readme_lists_every_method_in_its_family() -> None:
    page = (ROOT / "README.md").read_text()
    families = {method.family for method in catalogue().values()}
    rows = [row for row in re.findall(r"^\| (\w+) \| (.*) \|$", page, re.MULTILINE) if row[0] in families]
    listed = {(name, family) for family, methods in rows for name in re.findall(r"`(\w+)`", methods)}
    assert listed == {(name, method.family) for name, method in catalogue().items()}


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_pages_link_to_files_that_exist(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!\w+:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_page_on_operating_shows_what_the_supervisor_sets() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    assert " ".join(f"{key}={value}" for key, value in MALLOC.items()) in page
