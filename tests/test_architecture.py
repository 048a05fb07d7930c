"""The house rules that a machine can hold."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import grimp
import pytest

from tests.tree import ROOT

SOURCES = sorted(path for folder in ("service", "whence", "workers") for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 50
WORDS_NOT_USED = ("manager", "helper", "utils", "handler", "processor", "base_")


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def names(path: Path) -> Iterator[str]:
    """The file's name, and that of every function and class in it."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def test_imports_point_one_way() -> None:
    """The contracts of pyproject.toml: service never torch, workers never the web, no method knows another."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_leads_back_to_where_it_began() -> None:
    graph = grimp.build_graph("service", "whence", "workers", exclude_type_checking_imports=False, cache_dir=None)
    leads_back = {
        chain
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if (chain := graph.find_shortest_chain(importer=imported, imported=module))
    }
    assert leads_back == set()


def test_no_file_grows_past_its_ceiling() -> None:
    assert {str(path.relative_to(ROOT)): lines(path) for path in SOURCES if lines(path) > LONGEST_FILE} == {}


def test_files_are_small() -> None:
    assert median(lines(path) for path in SOURCES if lines(path)) <= 85


def test_functions_fit_a_screen() -> None:
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    found[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert found == {}


def test_names_say_what_a_thing_is() -> None:
    vague = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, word in itertools.product(SOURCES, WORDS_NOT_USED)
        for name in names(path)
        if word in name.lower()
    }
    assert vague == set()


@pytest.mark.parametrize(
    "module", ["service.app", "service.cli.main", "service.openapi", "workers.contract", "workers.jobs.doorbell"]
)
def test_is_imported_where_torch_is_not_installed(module: str) -> None:
    blocked = f"import sys; sys.modules['torch'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
