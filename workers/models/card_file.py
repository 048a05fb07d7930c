"""card.toml: read, checked key by key, each mistake told with what would be right."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.explanation.card import ImageSpec, InputSpec, Output
from workers.explanation.card_checks import check_input
from workers.explanation.errors import InvalidFolder
from workers.explanation.inputs import ONE, joined
from workers.explanation.names.spelling import meant
from workers.models.remote import section as remote
from workers.models.remote.section import RemoteSection

FILE = "card.toml"
MOST_PARTS = 20  # of a dotted key
MAX_BYTES = 256 * 2**10
MOST_INPUTS = 32
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")  # what may name an input


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    source: str
    weights: str | None = None
    output: Output = "logits"
    default_method: str = "integrated_gradients"
    accuracy: float | None = Field(default=None, ge=0, le=1)


class LabelsSection(_Section):
    file: str


class OutputSection(_Section):
    select: int | str


class CardFile(_Section):
    """What card.toml says: of one input, or of several by name, in the order of the model's arguments."""

    model: ModelSection
    input: InputSpec | None = None
    inputs: dict[str, InputSpec] = Field(default={}, max_length=MOST_INPUTS)
    output: OutputSection | None = None
    labels: LabelsSection | None = None
    remote: RemoteSection | None = None

    @property
    def named(self) -> dict[str, InputSpec]:
        """The inputs by name."""
        return {ONE: self.input} if self.input else self.inputs

    @property
    def taken(self) -> InputSpec:
        """The input, or several end to end."""
        return joined(self.named, {})

    def canonical(self) -> dict[str, Any]:
        """All but the labels, as far as it differs from the defaults: what a model's digest covers of its card."""
        told = self.model_dump(mode="json", include={"model", "input", "output"}, exclude_defaults=True)
        if self.inputs:
            told["inputs"] = [
                [name, spec.model_dump(mode="json", exclude_defaults=True)] for name, spec in self.inputs.items()
            ]
        return told


_INPUT = {
    "kind": "image, tensor, table or text",
    "shape": 'a list of positive whole numbers without the batch axis, as [3, 224, 224], or "*" for an axis of any '
    "length",
    "dtype": "float32, or int64 for ids",
    "held": "true for context that is neither altered nor explained, as a mask",
    "tokenizer": 'the name of a file of the folder, as "tokenizer.json"',
    "length": "the most tokens that a text may have, as 128",
    "padding": "the id that stands for no token, as 0",
    "mask": "the id that stands for a hidden token, as 103",
    "feeds": 'what of a text the model takes, of "input_ids", "attention_mask" and "token_type_ids"',
    "pair": "true where a text may be two, its first line and the rest",
    "axes": 'a name for each axis of shape, as ["channel", "time"]',
    "low": "a number, or a list of one for each entry of the first axis",
    "high": "a number, or a list of one for each entry of the first axis",
    "names": "a list of strings, one for each entry of the first axis",
    "categories": 'a table of lists by column, as {colour = ["red", "green"]}',
    "background": 'the name of a CSV file in the folder, as "background.csv"',
    "image": "a section with mode, resize, crop, scale, mean, std",
    "image.mode": "one of RGB, BGR, L",
    "image.resize": "the shorter side in pixels, as 256, or [height, width]",
    "image.crop": "the side of the centre crop in pixels, as 224",
    "image.interpolation": "one of nearest, bilinear, bicubic, lanczos",
    "image.scale": "a positive number, as 1.0 or 255.0",
    "image.mean": "a list of one number for each channel, as [0.485, 0.456, 0.406]",
    "image.std": "a list of one positive number for each channel, as [0.229, 0.224, 0.225]",
}
RIGHT = {
    "model": "a section [model] with at least a source",
    "model.source": 'a string, as "model.pt2", "python:net.py:factory", "torchvision:NAME", "timm:NAME"',
    "model.weights": 'the name of a safetensors file in the folder, as "weights.safetensors"',
    "model.output": f"one of {', '.join(get_args(Output))}",
    "model.default_method": "the name of a method, as integrated_gradients",
    "model.accuracy": "a number from 0 to 1",
    **remote.RIGHT,
    "input": "a section [input] with a kind and a shape, or a section [inputs.NAME] for each of several",
    **{f"input.{key}": right for key, right in _INPUT.items()},
    "inputs": "a section [inputs.NAME] for each input, in the order of the model's arguments",
    **{f"inputs.*.{key}": right for key, right in _INPUT.items()},
    "output": "a section [output] with select",
    "output.select": 'which output is explained: its index, as 0, or its key, as "logits"',
    "labels": "a section [labels] with a file",
    "labels.file": 'the name of a text file in the folder with one class name a line, as "labels.txt"',
}


def read_card(path: Path, where: str) -> CardFile:
    """The checked card; `where` names the file in errors. Raises InvalidFolder for the first mistake found."""
    try:
        document = _shaped(tomllib.loads(_short_keys(read_text(path, MAX_BYTES, where))))
        text = json.dumps(document, allow_nan=False, default=str)
    except FileNotFoundError:
        raise InvalidFolder(f"{where}: there is no such file; it should say [model] and [input]") from None
    except OSError as error:
        raise InvalidFolder(f"{where}: it cannot be read ({error.strerror}); it should be a readable file") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidFolder(f"{where}: it is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise InvalidFolder(f"{where}: it is not UTF-8 text; save it as UTF-8") from None
    except RecursionError:
        raise InvalidFolder(
            f"{where}: it is nested too deep; its tables are [model], [input] or [inputs.NAME], [output] and [labels]"
        ) from None
    except ValueError as error:
        what = "a number of too many digits" if "digits" in str(error) else "nan or inf"
        raise InvalidFolder(f"{where}: it holds {what}; every number should be finite") from None
    try:
        card = CardFile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidFolder(f"{where}: {_sentence(error)}") from None
    return card.model_copy(update=_inputs(card, where))


def _inputs(card: CardFile, where: str) -> dict[str, Any]:
    """The card's inputs, checked; raises InvalidFolder."""
    if card.input is not None and card.inputs:
        raise InvalidFolder(f"{where}: it has [input] and [inputs.NAME]; [input] is for one input that needs no name")
    if not card.named:
        raise InvalidFolder(f"{where}: the section [input] is missing; it should be {RIGHT['input']}")
    for name in card.inputs:
        if not NAME.fullmatch(name):
            raise InvalidFolder(
                f"{where}: [inputs.{name[:80]}]: a name is of letters, digits and _, and begins with a letter"
            )
    if all(spec.held for spec in card.named.values()):
        raise InvalidFolder(f"{where}: every input is held; leave held out at what is to be explained")
    if card.input is not None:
        return {"input": check_input(_filled(card.input), where)}
    return {"inputs": {name: check_input(_filled(spec), where, f"inputs.{name}") for name, spec in card.inputs.items()}}


def read_text(path: Path, limit: int, where: str) -> str:
    """The UTF-8 text of a file of at most so many bytes; raises InvalidFolder, OSError and UnicodeDecodeError."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidFolder(f"{where}: it is larger than {limit} bytes")
    return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _filled(spec: InputSpec) -> InputSpec:
    """Without mean or std in the card, each channel has 0 and 1; a text is of ids, as many as it may have."""
    if spec.kind == "text":
        shape = spec.shape or ((spec.length,) if spec.length else ())
        return spec.model_copy(update={"shape": shape, "dtype": "int64", "axes": spec.axes or ("token",)})
    if spec.image is None or not spec.shape:
        return spec
    given, channels = spec.image.model_fields_set, spec.shape[0]
    unset = {key: (value,) * channels for key, value in (("mean", 0.0), ("std", 1.0)) if key not in given}
    return spec.model_copy(update={"image": spec.image.model_copy(update=unset)})


def _short_keys(text: str) -> str:
    """The text itself; raises RecursionError for a key of many parts, each of which takes as long as all before it."""
    for line in text.splitlines():
        keys = [before.rpartition(",")[2] for before in line.split("=")[:-1]]
        if line.lstrip().startswith("[") and "," not in line:
            keys.append(line)
        if any(key.count(".") > MOST_PARTS for key in keys):
            raise RecursionError
    return text


def _shaped(document: dict[str, Any]) -> dict[str, Any]:
    """The shape of a table, where the card leaves it to the names of the columns."""
    section = document.get("input")
    if isinstance(section, dict) and section.get("kind") == "table" and section.get("names"):
        section.setdefault("shape", [len(section["names"])])
    return document


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    names = [part for part in first["loc"] if isinstance(part, str)]
    if names[0] == "inputs" and len(names) > 2:
        return _sentence_of(first, ["inputs", "*", *names[2:]]).replace("[inputs.*", f"[inputs.{names[1]}")
    return _sentence_of(first, names)


def _sentence_of(first: Any, names: list[str]) -> str:
    while names and ".".join(names) not in RIGHT and first["type"] != "extra_forbidden":
        names.pop()  # pydantic adds the member of a union that did not fit
    key = ".".join(names)
    if first["type"] == "extra_forbidden":
        return _unknown(names)
    problem = "is missing" if first["type"] == "missing" else "is wrong"
    return f"{_spoken(names)} {problem}; it should be {RIGHT.get(key, 'as the documentation of card.toml says')}"


def _unknown(names: list[str]) -> str:
    parent = ".".join(names[:-1])
    siblings = [key.rpartition(".")[2] for key in RIGHT if key.rpartition(".")[0] == parent]
    return f"{_spoken(names)} is not known; {meant(names[-1], siblings)}"


def _spoken(names: Iterable[str]) -> str:
    *sections, key = names
    name = ".".join((*sections, key))
    is_section = any(known.startswith(name + ".") for known in RIGHT)
    return f"the section [{name}]" if is_section or not sections else f"[{'.'.join(sections)}] {key}"


__all__ = ["FILE", "CardFile", "ImageSpec", "InputSpec", "read_card"]
