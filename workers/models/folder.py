"""A model's folder: card.toml, the model, its labels. Torch-free; nothing in the folder is run here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder
from workers.explanation.inputs import is_plain
from workers.explanation.names.spelling import meant
from workers.explanation.spec import ModelSpec
from workers.explanation.table import read_background
from workers.methods.catalogue import catalogue
from workers.models.archive.entries import open_archive
from workers.models.card_file import FILE, CardFile, read_card, read_text
from workers.models.code_digest import code_of, hash_of
from workers.models.remote.section import RemoteSection, check_section
from workers.models.remote.source import remote_version, witness
from workers.models.source import Source, parse_source
from workers.models.tokenizer import MAX_BYTES as MAX_TOKENIZER
from workers.models.tokenizer import Tokenizer, read_tokenizer

MAX_LABELS = 16 * 2**20  # bytes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Folder(ModelSpec):
    """A checked model folder: where it lies, and what computes."""

    path: Path
    source: Source
    weights: Path | None
    remote: RemoteSection | None = None
    version: str | None = None  # of what a server serves
    background: Path | None = None
    tokenizers: Mapping[str, Path] = field(default_factory=dict, kw_only=True)

    def background_rows(self) -> NDArray[np.float32] | None:
        """The rows (n, columns) that stand for the usual inputs, where the card names some; raises InvalidFolder."""
        if self.background is None:
            return None
        return read_background(self.background, self.input, f"{self.name}/{self.background.name}")


def find_folders(models: Path) -> list[Path]:
    """Every model folder below `models`, by name; stray files and hidden folders are ignored.

    Raises InvalidFolder where `models` itself is no folder.
    """
    if not models.is_dir():
        raise InvalidFolder(f"{models}: there is no such folder; it should hold one folder for each model")
    return [path for path in sorted(models.iterdir()) if path.is_dir() and path.name[0] not in "._"]


def name_at(path: Path) -> str:
    """The name of a folder where it lies; a link gives what it leads to a name of its own."""
    return Path(os.path.abspath(path)).name


def read_folder(path: Path) -> Folder:
    """The checked folder; raises InvalidFolder, or PickledPayload for an archive that would have to be unpickled."""
    name = name_at(path)
    if not path.is_dir():
        raise InvalidFolder(f"{name}: there is no such folder; a model is a folder with a {FILE}")
    if not NAME.fullmatch(name):
        raise InvalidFolder(f"{name!r}: a model's folder should be named with letters, digits, '.', '_' and '-' alone")
    card = read_card(path / FILE, f"{name}/{FILE}")
    source = parse_source(card.model.source, f"{name}/{FILE}")
    _check_method(card.model.default_method, f"{name}/{FILE}")
    weights = _weights(path, card, source)
    if source.file is not None:
        _inside(path, source.file, "[model] source")
    labels = _labels(path, card.labels.file) if card.labels else ()
    section, background = _remote(card, source, f"{name}/{FILE}"), _background(path, card.taken)
    rows = None if background is None else read_background(background, card.taken, f"{name}/{background.name}")
    spec = card.taken if rows is None else card.taken.model_copy(update={"background_rows": len(rows)})
    version = remote_version(source, section, spec, labels, name, witness(spec, rows)) if section else None
    inputs = {name: _with_ids(path, spec) for name, spec in card.named.items()}
    return Folder(
        name=name,
        path=path,
        source=source,
        weights=weights,
        output=card.model.output,
        input=spec,
        inputs=inputs if card.inputs or not is_plain(inputs) else {},
        tokenizers={name: path / one.tokenizer for name, one in inputs.items() if one.tokenizer},
        select=card.output.select if card.output else None,
        labels=labels,
        default_method=_default_method(card, source),
        accuracy=card.model.accuracy,
        digest=_digest(path, card, source, version),
        remote=section,
        version=version,
        background=background,
    )


def _default_method(card: CardFile, source: Source) -> str:
    """What protocol calls use: of a server, where the card says nothing, a method that needs no gradients."""
    if source.remote and "default_method" not in card.model.model_fields_set:
        return "occlusion" if card.taken.kind == "image" else "kernel_shap"
    return card.model.default_method


def _remote(card: CardFile, source: Source, where: str) -> RemoteSection | None:
    """[remote] of a card whose source is a server, checked against the rest of it; None of any other."""
    if not source.remote:
        if card.remote is not None:
            raise InvalidFolder(f"{where}: [remote] is for a source that is a server; this one is {source.kind}")
        return None
    if card.taken.parts or card.output is not None:
        raise InvalidFolder(
            f"{where}: a server is asked of one tensor and for one; [inputs.NAME] and [output] need a graph"
        )
    section = card.remote or RemoteSection()
    check_section(section, source.kind, card.taken, where)
    return section


def _background(path: Path, spec: InputSpec) -> Path | None:
    return None if spec.background is None else _inside(path, spec.background, "[input] background")


def _check_method(method: str, where: str) -> None:
    if method not in catalogue():
        raise InvalidFolder(f"{where}: [model] default_method names no method; {meant(method, catalogue())}")


def _inside(path: Path, file: str, key: str) -> Path:
    """The file of that name in the folder; links out of it are refused as `..` is."""
    name, found = name_at(path), path / file
    if not found.resolve().is_relative_to(path.resolve()):
        raise InvalidFolder(f"{name}/{FILE}: {key} leads out of the folder; it should name a file in it")
    if not found.is_file():
        raise InvalidFolder(f"{name}/{file}: there is no such file; {FILE} names it as {key}")
    return found


def _weights(path: Path, card: CardFile, source: Source) -> Path | None:
    where = f"{name_at(path)}/{FILE}"
    if source.remote and card.model.weights is not None:
        raise InvalidFolder(f"{where}: [model] weights is for module sources; a server has its own")
    if source.remote:
        return None
    if source.kind == "archive":
        if card.model.weights is not None:
            raise InvalidFolder(f"{where}: [model] weights is for module sources; a .pt2 archive carries its own")
        return None
    if card.model.weights is None:
        raise InvalidFolder(f"{where}: [model] weights is missing; a {source.kind}: source needs a safetensors file")
    if not card.model.weights.endswith(".safetensors"):
        raise InvalidFolder(f"{where}: [model] weights should name a .safetensors file; no other kind is read")
    return _inside(path, card.model.weights, "[model] weights")


def _labels(path: Path, file: str) -> tuple[str, ...]:
    where = f"{name_at(path)}/{file}"
    try:
        labels = tuple(read_text(_inside(path, file, "[labels] file"), MAX_LABELS, where).rstrip().splitlines())
    except UnicodeDecodeError:
        raise InvalidFolder(f"{where}: it is not UTF-8 text; it should have one class name a line") from None
    empty = next((i for i, label in enumerate(labels, 1) if not label.strip()), 1 if not labels else None)
    if empty:
        raise InvalidFolder(f"{where}: line {empty} is empty; it should have one class name a line")
    return tuple(label.strip() for label in labels)


def _with_ids(path: Path, spec: InputSpec) -> InputSpec:
    """Of a text, the spec with the ids that its tokenizer has for no token and for a hidden one."""
    if spec.tokenizer is None:
        return spec
    found = text_reader(_inside(path, spec.tokenizer, "[input] tokenizer"), spec, name_at(path))
    return spec.model_copy(update={"padding": found.padding, "mask": found.mask})


def text_reader(file: Path, spec: InputSpec, name: str) -> Tokenizer:
    """The tokenizer of an input of a model's folder; raises InvalidFolder."""
    if file.stat().st_size > MAX_TOKENIZER:
        raise InvalidFolder(f"{name}/{file.name}: it is larger than {MAX_TOKENIZER} bytes")
    assert spec.length is not None
    return read_tokenizer(file.read_bytes(), spec.length, spec.padding, spec.mask, f"{name}/{file.name}", spec.pair)


def _digest(path: Path, card: CardFile, source: Source, version: str | None) -> str:
    """Over what computes, and the card's [model] and [input]; not over labels.

    That is an archive's weights and graph; a server's version, and how it is asked; else every file of the folder, and
    the packages that hold the code. The rows of a background count.
    """
    parts = [orjson.dumps(card.canonical(), option=orjson.OPT_SORT_KEYS)]
    if card.taken.background is not None:
        parts.append(hash_of(path / card.taken.background).encode())
    if source.remote:
        asked = (card.remote or RemoteSection()).asked()
        parts.append(orjson.dumps({"version": version, **asked}, option=orjson.OPT_SORT_KEYS))
        return "sha256:" + hashlib.sha256(b"\n".join(parts)).hexdigest()
    if source.kind == "archive":
        assert source.file is not None
        with open_archive(path / source.file, f"{name_at(path)}/{source.file}") as archive:
            parts.append(archive.digest().encode())
        tokenizers = {spec.tokenizer for spec in card.named.values() if spec.tokenizer}
        parts.extend(f"{name} {hash_of(path / name)}".encode() for name in sorted(tokenizers))
    else:
        apart = {path / FILE, *([path / card.labels.file] if card.labels else ())}
        parts.extend(line.encode() for line in code_of(source, path, apart))
    return "sha256:" + hashlib.sha256(b"\n".join(parts)).hexdigest()
