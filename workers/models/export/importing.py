"""The factory of a python: source, imported with the files beside it; and why one failed, in a sentence."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from workers.models.code_digest import is_read_by_files
from workers.models.export.tracebacks import first_line, importer_of, place_of
from workers.models.source import Source


class NeedsArguments(Exception):
    """A factory that cannot be called without arguments."""


def from_python(source: Source, folder: Path) -> Any:
    """What the factory returns."""
    if source.file is None:
        with _anew(source.name.partition(".")[0]):
            return _called(importlib.import_module(source.name), source)
    if not (folder / source.file).is_file():
        raise FileNotFoundError(f"there is no file {source.file}")
    with _beside(folder / source.file):
        return _called(_module_file(folder / source.file), source)


def _called(code: ModuleType, source: Source) -> Any:
    if not hasattr(code, source.factory):
        raise AttributeError(f"{source.name} has no {source.factory}")
    factory = getattr(code, source.factory)
    try:
        wanted = [p for p in inspect.signature(factory).parameters.values() if p.default is p.empty]
    except (TypeError, ValueError):
        wanted = []
    if wanted := [p for p in wanted if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]:
        names = ", ".join(p.name for p in wanted)
        raise NeedsArguments(
            f"needs arguments ({names}); name a function that takes none, as def build(): return {source.factory}(...)"
        )
    return factory()


def _module_file(file: Path) -> ModuleType:
    """The module of a file, under a name of its own: two folders may each have a net.py."""
    name = f"whence_model_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _beside(file: Path) -> Iterator[None]:
    """Within, the files beside a source are imported by name, anew, and are not left for other folders to find."""
    place = str(file.resolve().parent)
    names = {path.stem for path in file.resolve().parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    names -= sys.stdlib_module_names | {"torch", "numpy", "workers"}
    hidden = _taken(names)
    sys.path.insert(0, place)
    try:
        with _uncompiled():
            yield
    finally:
        sys.path.remove(place)
        _taken({name for name in names if _lies_in(sys.modules.get(name), place)})
        for name, module in hidden.items():
            sys.modules.setdefault(name, module)


def _taken(names: set[str]) -> dict[str, ModuleType]:
    """The loaded modules of these packages, taken out of the table of modules."""
    found = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


def _lies_in(module: ModuleType | None, place: str) -> bool:
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(path is not None and Path(path).resolve().is_relative_to(place) for path in paths)


@contextmanager
def _anew(package: str) -> Iterator[None]:
    """Within, a package that is told by its files is read anew: what is loaded may be older than the digest says."""
    if not is_read_by_files(package):
        yield
        return
    _taken({package})
    with _uncompiled():
        yield


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Within, no bytecode is left beside sources: an edit of the same size in the same second would not be seen."""
    importlib.invalidate_caches()
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def reason(error: Exception, source: Source) -> str:
    """Why the source gave no model."""
    match error:
        case NeedsArguments():
            return str(error)
        case ModuleNotFoundError() if error.name and source.file is None and source.name.startswith(error.name):
            return f"names a module that is not there: there is no {error.name} where Python looks for packages"
        case ModuleNotFoundError() if error.name:
            package = error.name.partition(".")[0]
            there = package != error.name and importlib.util.find_spec(package) is not None
            lacks = f"has no {error.name} in the version that is" if there else "is not"
            return (
                f"needs the package {package}, which {lacks} installed{importer_of(error)}; install it, or export the "
                "model to a .pt2 where it is"
            )
        case ImportError():
            said = first_line(error).replace(f" ({error.path})", "")
            return (
                f"failed to import: {said}{importer_of(error)}; install versions that fit each other, or export the "
                "model to a .pt2 where they are"
            )
        case SyntaxError():
            line = (error.text or "").strip()
            at = f"{Path(error.filename or '?').name}:{error.lineno}"
            return f"failed: SyntaxError at {at}{f' ({line})' if line else ''}: {error.msg}"
        case _:
            return f"failed: {type(error).__name__}{place_of(error)}: {first_line(error)}"
