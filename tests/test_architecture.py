"""The house rules that a machine can hold."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import grimp
import pytest

from docs import draw_map
from tests.tree import ROOT

SOURCES = sorted(path for folder in ("service", "whence", "workers") for path in (ROOT / folder).rglob("*.py"))
OURS = ("service", "whence", "workers")
LONGEST_FILE = 300
LONGEST_FUNCTION = 50
MOST_ROOMS = {"workers": 8, "service": 9}
MOST_FILES = {"workers": 4, "service": 5}  # beside the rooms
MOST_IN_A_FOLDER = 20
WORDS_NOT_USED = ("manager", "helper", "utils", "handler", "processor", "base_")


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def names(path: Path) -> Iterator[str]:
    """The file's name, and that of every function and class in it."""
    yield path.stem
    for node in nodes(path):
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


def test_no_import_leads_back_or_points_up() -> None:
    found = draw_map.graph()
    assert draw_map.circles(found) == set()
    assert draw_map.arrows_up(found, "service") | draw_map.arrows_up(found, "workers") == set()


def test_an_arrow_up_and_a_circle_are_seen() -> None:
    found = grimp.ImportGraph()
    for module in ("service.http.bodies", "service.queue.queue", "service.routes.models"):
        found.add_module(module)
    found.add_import(importer="service.queue.queue", imported="service.http.bodies")
    found.add_import(importer="service.http.bodies", imported="service.queue.queue")
    found.add_import(importer="service.routes.models", imported="service.queue.queue")
    assert draw_map.arrows_up(found, "service") == {("service.http.bodies", "service.queue.queue")}
    assert len(draw_map.circles(found)) == 2  # from either end


@pytest.mark.parametrize("half", ["workers", "service"])
def test_each_half_is_drawn_from_its_rooms(half: str) -> None:
    folder = ROOT / half
    rooms = [path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "_"]
    files = [path.name for path in folder.glob("*.py") if path.stat().st_size]
    assert len(rooms) <= MOST_ROOMS[half], rooms
    assert len(files) <= MOST_FILES[half], files


def test_each_room_says_what_it_is_for() -> None:
    rooms = [room for half in MOST_ROOMS for layer in draw_map.layers(half) for room in layer]
    assert [room for room in rooms if not draw_map.purpose(room)] == []


def test_no_folder_is_crowded() -> None:
    """Families of methods aside: how many methods there are, papers decide."""
    counts = Counter(path.parent for path in SOURCES if path.stat().st_size)
    crowded = {folder for folder, count in counts.items() if count > MOST_IN_A_FOLDER}
    assert {folder for folder in crowded if folder.parent.name != "methods"} == set()


def test_no_file_grows_past_its_ceiling() -> None:
    assert {str(path.relative_to(ROOT)): lines(path) for path in SOURCES if lines(path) > LONGEST_FILE} == {}


def test_files_are_small() -> None:
    assert median(lines(path) for path in SOURCES if lines(path)) <= 85


def test_functions_fit_a_screen() -> None:
    found = {}
    for path in SOURCES:
        for node in nodes(path):
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


def is_there(module: str, name: str) -> bool:
    """A module's name, or a module of that package."""
    try:
        return hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        return False


def test_what_no_type_checker_reads_imports_only_what_there_is() -> None:
    """Of ours: scripts that are run by hand notice a moved name only when somebody runs them."""
    missing = {
        f"{path.relative_to(ROOT)}: {node.module}.{alias.name}"
        for folder in ("benchmarks", "docs", "models", "reproductions")
        for path in (ROOT / folder).rglob("*.py")
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for alias in node.names
        if not is_there(node.module, alias.name)
    }
    assert missing == set()


FOUND = ("workers.engine.rules.named", "workers.engine.rules.by_operation")  # rooms whose files are found, not named


def method_of(module: str) -> str | None:
    """The method whose file or folder a module is in."""
    match = re.match(r"workers\.methods\.(?!nested\.|fields\.)\w+\.\w+", module)
    return match and match.group()


def test_what_one_method_alone_uses_lives_with_it() -> None:
    """Of the engine, and of what methods share: directly, or through other modules that only this method uses."""
    graph = grimp.build_graph("workers", exclude_type_checking_imports=False, cache_dir=None)
    shared = [
        m
        for m in graph.modules
        if m.startswith(("workers.engine.", "workers.methods.nested.", "workers.methods.fields."))
    ]
    only: dict[str, str] = {}
    while found := {
        module: method
        for module in shared
        if module not in only and not module.startswith(FOUND)
        for users in [{only.get(m) or method_of(m) or m for m in graph.find_modules_that_directly_import(module)}]
        if len(users) == 1 and (method := method_of(next(iter(users))))
    }:
        only |= found
    assert only == {}
