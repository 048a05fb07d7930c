"""What of code decides what a model computes: the files beside it, and the packages that it imports. Nothing is run.

A package is told by its version where it was installed; by its files where it has none, or is installed editable.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterator
from functools import cache
from importlib import metadata, util
from pathlib import Path

from workers.models.source import Source

LIBRARIES = ("torchvision", "timm", "transformers")
ENGINE = frozenset({"torch", "workers"})  # torch's version is in every receipt, and computes archives too
IGNORED = ("__pycache__",)
FRESH_NS = 2 * 10**9  # a file written so recently may be written again within the grain of its time

_hashes: dict[Path, tuple[tuple[int, ...], str]] = {}


def code_of(source: Source, folder: Path, apart: Collection[Path]) -> Iterator[str]:
    """A line for each thing that decides what the source computes; `apart` are files of the folder that do not."""
    if source.kind in LIBRARIES:
        yield f"{source.kind} {_version(source.kind)}"
    for path in _files(folder):
        if path not in apart:
            yield f"{path.relative_to(folder).as_posix()} {hash_of(path)}"
    yield from _packages(imported(source, folder, apart))


def imported(source: Source, folder: Path, apart: Collection[Path] = ()) -> set[str]:
    """The packages that the source's code comes from, or its files import: what lies outside of the folder."""
    if source.kind != "python":
        return set()
    if source.file is None:
        return {source.name.partition(".")[0]}
    names = {name for path in _files(folder) if path not in apart for name in _imports(path)}
    return names - {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}


def outside(source: Source, names: set[str]) -> list[str]:
    """A line for each thing that decides, and lies outside of the folder; `names` are those `imported`."""
    library = [f"{source.kind} {_version(source.kind)}"] if source.kind in LIBRARIES else []
    return [*library, *_packages(names)]


def hash_of(file: Path) -> str:
    """SHA-256 of a file's bytes; known from before where nothing says that it was written since."""
    about = file.stat()
    mark = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    known = _hashes.get(file)
    if known is not None and known[0] == mark:
        return known[1]
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if time.time_ns() - max(mark[2:]) > FRESH_NS:
        _hashes[file] = (mark, digest)
    return digest


def is_read_by_files(package: str) -> bool:
    """Whether a package is told by its files, which may change while a process runs."""
    return package not in ENGINE | sys.stdlib_module_names and _version(package) is None


def _packages(names: set[str]) -> Iterator[str]:
    """The versions of packages, and the files of those that have none, with what these import in turn."""
    waiting, seen = sorted(names), set(names)
    while waiting:
        name = waiting.pop(0)
        if name in ENGINE or name in sys.stdlib_module_names:
            continue
        if (version := _version(name)) is not None:
            yield f"{name} {version}"
            continue
        found: set[str] = set()
        for root, path in _sources(name):
            yield f"{name}: {path.relative_to(root).as_posix()} {hash_of(path)}"
            found |= _imports(path)
        waiting.extend(sorted(found - seen))
        seen |= found


def _sources(package: str) -> Iterator[tuple[Path, Path]]:
    """The files of a package, each with the folder that it is told from; none where it is not here."""
    try:
        spec = util.find_spec(package)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for place in spec.submodule_search_locations or ():
        yield from ((Path(place), path) for path in _files(Path(place)))
    if spec.submodule_search_locations is None and spec.has_location and spec.origin:
        yield Path(spec.origin).parent, Path(spec.origin)


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order, links followed; not what Python or a version control system keeps there."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(f for f in folders if f not in IGNORED and not f.startswith("."))
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, f) for f in sorted(files) if not f.startswith(".") and not f.endswith((".pyc", ".pyo")))


def _imports(path: Path) -> set[str]:
    """The top-level names that a Python file imports anywhere in it; none of a file that is no Python."""
    if path.suffix != ".py":
        return set()
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@cache
def _version(package: str) -> str | None:
    """The version of the distribution that installed a package; None of one that has none, or whose files are edited.

    Found once: a process goes on with the package that it has loaded.
    """
    for name in distributions().get(package, ()):
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if not origin.get("dir_info", {}).get("editable", False):
            return f"{name} {distribution.version}"
    return None


@cache
def distributions() -> dict[str, list[str]]:
    """The distributions that installed each package, found once: one that came later is read by its files."""
    return dict(metadata.packages_distributions())
