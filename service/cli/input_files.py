"""What is meant by the words of a command line: files, globs and folders; texts, and several inputs by name."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from whence.inputs import MEDIA, flattened, is_text

One: TypeAlias = Path | str  # a file, or a text
NAMED = re.compile(r"(\w+)=(.*)", re.DOTALL)


class NoSuchFiles(Exception):
    """A name that stands for nothing that could be explained; the message is for people."""


class NotOneInput(Exception):
    """Values of --input that are not one input, nor several by name; the message is for people."""


def one_input(values: Sequence[str]) -> One | dict[str, One]:
    """The input that values of --input are: a file or a text, or of each NAME=VALUE one.

    Raises NotOneInput, NoSuchFiles.
    """
    named = [None if Path(value).is_file() else NAMED.fullmatch(value) for value in values]
    if len(values) == 1 and named[0] is None:
        return _file_or_text(values[0])
    found: dict[str, One] = {}
    for value, parts in zip(values, named, strict=True):
        if parts is None:
            raise NotOneInput(f"of several inputs each has its name, as in --input image={value}")
        if parts[1] in found:
            raise NotOneInput(f"the input {parts[1]} came twice")
        found[parts[1]] = _file_or_text(parts[2])
    return found


def _file_or_text(value: str) -> One:
    if is_text(value):
        return value
    if not Path(value).is_file():
        raise NoSuchFiles(f"there is no file {value}")
    return Path(value)


def contents(one: One) -> bytes:
    """The bytes of a file, or of a text."""
    return one.encode() if isinstance(one, str) else one.read_bytes()


def named_files(names: Sequence[str]) -> list[Path]:
    """Each file once, in the order of the names; of a folder all images and tensors in it and below.

    Raises NoSuchFiles.
    """
    found = [file for name in names for file in _files(name)]
    return list(dict.fromkeys(found))


def labels(files: Sequence[Path]) -> list[str]:
    """A name for each file that none of the others has: its stem where that will do, else with its folders."""
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    whole = [file.resolve() for file in files]
    shared = len(Path(*_common(whole)).parts)
    below = [Path(*file.parts[shared:]) for file in whole]
    bare = [file.with_suffix("") for file in below]
    return flattened(bare if len(set(bare)) == len(bare) else below)


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in MEDIA)
        if not inside:
            raise NoSuchFiles(f"{name} holds no image and no tensor ({', '.join(sorted(MEDIA))})")
        return inside
    matched = [Path(one) for one in sorted(glob.glob(name, recursive=True))]
    found = [file for file in matched if file.is_file()]
    if not found:
        text = f"; a text is given as --input {shlex.quote(name)}" if is_text(name) else ""
        raise NoSuchFiles(f"there is no file, folder or match for {name}{text}")
    return found


def _common(files: Sequence[Path]) -> list[str]:
    shared = []
    for parts in zip(*(file.parent.parts for file in files), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared
