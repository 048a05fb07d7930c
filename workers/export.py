"""Writes a model folder from a model's code: python -m workers.export SOURCE --out models/NAME --shape 3,224,224."""

from __future__ import annotations

import argparse
import io
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from workers.engine.model.outputs import kind_of
from workers.explanation.errors import ExplainError, InvalidFolder
from workers.explanation.inputs import ONE, fed
from workers.models.archive.entries import open_archive
from workers.models.card_file import FILE, read_card
from workers.models.export.called import joined_rows
from workers.models.export.command_line import parser
from workers.models.export.foreign import refuse_file
from workers.models.export.from_code import build_module, load_weights
from workers.models.export.onnx_files import onnx_shapes, read_onnx
from workers.models.export.options import examples, sections_of
from workers.models.export.pretrained import Pretrained, is_pretrained, read_pretrained
from workers.models.export.pretrained_text import TOKENIZER
from workers.models.export.program import export_module
from workers.models.export.tracebacks import first_line, place_of
from workers.models.folder import read_folder
from workers.models.loading import compare, load_program, sample
from workers.models.source import Source, parse_source

ARCHIVE = "model.pt2"
LABELS = "labels.txt"
GUESSED = {
    "binary": "one number comes out: the card calls it binary, a logit whose sigmoid is the probability of yes. Say "
    "--output value for a quantity, or --output probabilities where it is a probability already",
    "probabilities": "what comes out went through a softmax or a sigmoid: the card calls it probabilities. Say "
    "--output value where it is none",
}

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 where the folder was written and reads back, else 1 with the reason on stderr."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="whence export: %(message)s", level=logging.WARNING, force=True)
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(options)
    except ExplainError as error:
        print(f"whence export: {error.detail}", file=sys.stderr)
        return 1
    except Exception as error:
        log.debug("the export failed", exc_info=True)
        told = f"{type(error).__name__}{place_of(error)}: {first_line(error)}"
        print(f"whence export: {options.out.name}: the model could not be exported: {told}", file=sys.stderr)
        return 1
    print(f"wrote {options.out}: its outputs and gradients agree with the model's; the card is {options.out / FILE}")
    return 0


def export(options: argparse.Namespace) -> None:
    """Write the folder `options.out`, whole or not at all; raises InvalidFolder where the model or a value is wrong."""
    out: Path = options.out
    if out.exists() and not options.force:
        raise InvalidFolder(f"{out} exists already; name a new folder, or say --force to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        given = _given(options)
        for name, content in given.files.items():
            (folder / name).write_bytes(content)
        try:
            program, example = _traced(options, given, folder)
        except InvalidFolder as error:
            if given.of_one_length is None:
                raise
            given = given.of_one_length()
            program, example = _traced(options, given, folder)
            log.warning("its texts are all padded to the longest that it takes: %s", error.detail.partition("; ")[0])
        output = options.output or given.output or kind_of(program, options.select)
        (folder / FILE).write_text(_card(options, given, output), "utf-8")
        (folder / ARCHIVE).write_bytes(archive(program, out.name))
        _compare(given.module, folder, example)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    if not options.output and not given.output and output in GUESSED:
        print(GUESSED[output])


def _traced(
    options: argparse.Namespace, given: _Given, folder: Path
) -> tuple[ExportedProgram, Mapping[str, Tensor] | None]:
    """The program, and the inputs that it is compared on where some are known."""
    (folder / FILE).write_text(_card(options, given, options.output or given.output or "logits"), "utf-8")
    inputs = fed(read_card(folder / FILE, FILE).named)
    example = examples(options, inputs) or given.example
    return export_module(given.module, inputs, options.out.name, example, options.select), example


def archive(program: ExportedProgram, where: str) -> bytes:
    """The program as .pt2 bytes without sample inputs; raises PickledPayload where it holds more than plain tensors."""
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    with open_archive(saved, f"{where}/{ARCHIVE}") as opened:
        return opened.copy().getvalue()


@dataclass(frozen=True)
class _Given:
    """What is exported: the module, the card's section of each input, the files beside them, the output where known."""

    module: nn.Module
    sections: Mapping[str, dict[str, Any]]
    files: Mapping[str, bytes]
    output: str | None = None
    example: Mapping[str, Tensor] | None = None
    of_one_length: Callable[[], _Given] | None = None  # where its texts may be of any


def _of_pretrained(options: argparse.Namespace, found: Pretrained) -> _Given:
    own = {LABELS: ("\n".join(found.labels) + "\n").encode()} if found.labels else {}
    labels = {LABELS: options.labels.read_bytes()} if options.labels else {}
    tokenizer = {TOKENIZER: found.tokenizer} if found.tokenizer else {}
    sections = {input_name: dict(section) for input_name, section in found.inputs.items()}
    is_open = any("*" in section["shape"] for section in sections.values())
    of_one_length = (lambda: _of_pretrained(options, found.of_one_length())) if is_open else None
    return _Given(found.module, sections, {**own, **labels, **tokenizer}, found.output, found.example, of_one_length)


def _given(options: argparse.Namespace) -> _Given:
    labels = {LABELS: options.labels.read_bytes()} if options.labels else {}
    kind, _, name = options.source.partition(":")
    if kind == "transformers" and is_pretrained(name) and options.weights is None:
        found = read_pretrained(Path(name), options.length, options.pair)
        options.select = found.select if options.select is None else options.select
        return _of_pretrained(options, found)
    if kind == "onnx" and not options.shape:
        options.shape = onnx_shapes(Path(name))
    if not options.shape:
        if kind == "transformers":
            raise InvalidFolder(
                f"{name} is no folder of save_pretrained, for it has no config.json; an id needs --weights and --shape"
            )
        raise InvalidFolder("--shape is missing: the input without the batch axis, as 3,224,224; once for each input")
    module = _module(options)
    return _Given(module, sections_of(options, module), labels)


def _module(options: argparse.Namespace) -> nn.Module:
    refuse_file(options.source)
    if options.source.startswith("onnx:"):
        return read_onnx(Path(options.source.removeprefix("onnx:")))
    source: Source = parse_source(options.source, "SOURCE")
    if source.kind == "archive":
        raise InvalidFolder("SOURCE is an archive already; put it into a folder with a card.toml")
    if options.weights is None and source.kind != "python":
        raise InvalidFolder(f"{source} is an architecture without weights; give them by --weights FILE.safetensors")
    classes = len(options.labels.read_text("utf-8").rstrip().splitlines()) if options.labels else None
    module = build_module(source, Path.cwd(), classes, options.out.name)
    if options.weights:
        load_weights(module, options.weights, options.weights.name)
    return module


def _card(options: argparse.Namespace, given: _Given, output: str) -> str:
    """card.toml: what the options say, the rest as read_folder fills it in."""
    sections = given.sections
    card: dict[str, Any] = {"model": {"source": ARCHIVE, "output": output}}
    if list(sections) == [ONE]:
        card["input"] = sections[ONE]
    else:
        card["inputs"] = dict(sections)
    if options.select is not None:
        card["output"] = {"select": options.select}
    if LABELS in given.files:
        card["labels"] = {"file": LABELS}
    return tomli_w.dumps(card)


def _compare(module: nn.Module, path: Path, example: Mapping[str, Tensor] | None) -> None:
    """Read the folder back as the server will; raises InvalidFolder where its answers are not the module's."""
    folder = read_folder(path)
    program = load_program(folder)
    x = None if example is None else joined_rows(folder.fed, example)
    compare(module, folder, program, sample(module, folder, program, x))


if __name__ == "__main__":
    sys.exit(main())
