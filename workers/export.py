"""Writes a model folder from a model's code: python -m workers.export SOURCE --out models/NAME --shape 3,224,224."""

from __future__ import annotations

import argparse
import io
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import tomli_w
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from workers.engine.model.outputs import kind_of
from workers.explanation.card import Output
from workers.explanation.errors import ExplainError, InputError, InvalidFolder
from workers.explanation.images.decoding import prepare
from workers.explanation.tensors import as_float32, decode_npy, decode_safetensors
from workers.models.archive.entries import open_archive
from workers.models.card_file import FILE, read_card
from workers.models.export.from_code import build_module, load_weights
from workers.models.export.program import export_module
from workers.models.export.tracebacks import first_line, place_of
from workers.models.folder import read_folder
from workers.models.loading import compare, load_program, sample
from workers.models.source import Source, parse_source

ARCHIVE = "model.pt2"
LABELS = "labels.txt"
EXAMPLES = 8  # of a file of many, more would take long and show no more
GUESSED = {
    "binary": "one number comes out: the card calls it binary, a logit whose sigmoid is the probability of yes. Say "
    "--output value for a quantity, or --output probabilities where it is a probability already",
    "probabilities": "what comes out went through a softmax or a sigmoid: the card calls it probabilities. Say "
    "--output value where it is none",
}

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 where the folder was written and reads back, else 1 with the reason on stderr."""
    options = _parser().parse_args(arguments)
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
    if out.exists():
        raise InvalidFolder(f"{out} exists already; name a new folder, or remove it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        module = _module(options)
        (folder / FILE).write_text(_card(options, options.output or "logits"), "utf-8")
        if options.labels:
            shutil.copyfile(options.labels, folder / LABELS)
        example = _example(options, folder)
        program = export_module(module, options.shape, out.name, example)
        output = options.output or kind_of(program)
        (folder / FILE).write_text(_card(options, output), "utf-8")
        (folder / ARCHIVE).write_bytes(archive(program, out.name))
        _compare(module, folder, example)
        folder.rename(out)
    if not options.output and output in GUESSED:
        print(GUESSED[output])


def archive(program: ExportedProgram, where: str) -> bytes:
    """The program as .pt2 bytes without sample inputs; raises PickledPayload where it holds more than plain tensors."""
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    with open_archive(saved, f"{where}/{ARCHIVE}") as opened:
        return opened.copy().getvalue()


def _module(options: argparse.Namespace) -> nn.Module:
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


def _card(options: argparse.Namespace, output: str) -> str:
    """card.toml: what the options say, the rest as read_folder fills it in."""
    shape = options.shape
    card: dict[str, Any] = {
        "model": {"source": ARCHIVE, "output": output},
        "input": {"kind": "tensor", "shape": list(shape)},
    }
    if len(shape) == 3 and shape[0] in (1, 3):
        image = {key: getattr(options, key) for key in ("mode", "resize", "crop", "scale", "mean", "std")}
        image["mode"] = image["mode"] or ("RGB" if shape[0] == 3 else "L")
        if image["resize"] is None and image["crop"] is None:
            image["resize"] = list(shape[1:])
        card["input"]["kind"] = "image"
        card["input"]["image"] = {key: value for key, value in image.items() if value is not None}
    if options.labels:
        card["labels"] = {"file": LABELS}
    return tomli_w.dumps(card)


def _example(options: argparse.Namespace, folder: Path) -> Tensor | None:
    """The inputs in the file of --example (n, *shape), a picture prepared as the card says; None without one."""
    if options.example is None:
        return None
    spec = read_card(folder / FILE, FILE).input
    data, shape = options.example.read_bytes(), tuple(options.shape)
    try:
        if options.example.suffix == ".npy":
            values = as_float32(decode_npy(data, len(data)))
        elif options.example.suffix == ".safetensors":
            values = as_float32(decode_safetensors(data, len(data)))
        elif spec.image is not None:
            values = prepare(data, spec.image, shape)[0]
        else:
            raise InvalidFolder(f"--example {options.example}: it should be a .npy or a .safetensors file")
    except InputError as error:
        raise InvalidFolder(f"--example {options.example}: {error.detail}") from None
    if values.shape not in (shape, (len(values), *shape)):
        raise InvalidFolder(
            f"--example {options.example}: its shape is {list(values.shape)}; it should be {list(shape)}, or several"
        )
    return torch.from_numpy(values).reshape(-1, *shape)[:EXAMPLES]


def _compare(module: nn.Module, path: Path, example: Tensor | None) -> None:
    """Read the folder back as the server will; raises InvalidFolder where its answers are not the module's."""
    folder = read_folder(path)
    program = load_program(folder)
    compare(module, folder, program, sample(module, folder, program, example))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="whence export", description="Write a model folder from a model's code.")
    parser.add_argument("source", help="python:net.py:factory, python:package.module:factory, torchvision:NAME, "
                                       "timm:NAME or transformers:ID")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="the folder to write, as models/NAME")
    parser.add_argument("--shape", type=whole_numbers, required=True, help="input without the batch axis, as 3,224,224")
    parser.add_argument("--weights", type=existing_file, help="a safetensors file; without it the factory's own")
    parser.add_argument("--example", type=existing_file, help="an image, .npy or .safetensors that the model is meant "
                        "for: outputs and gradients are compared on it, else on plausible inputs")  # fmt: skip
    parser.add_argument("--labels", type=existing_file, help="a text file with one class name a line")
    parser.add_argument(
        "--output",
        help=f"{', '.join(get_args(Output))}; by default what the graph shows: probabilities after a softmax or a "
        "sigmoid, binary for one number, else logits",
    )
    images = parser.add_argument_group("how an image becomes the tensor")
    images.add_argument("--mode", help="RGB, BGR or L")
    images.add_argument("--resize", type=sides, help="shorter side in pixels, or height,width")
    images.add_argument("--crop", type=int, help="side of the centre crop in pixels")
    images.add_argument("--scale", type=float, help="pixels are 0 to this before mean and std (default 1)")
    images.add_argument("--mean", type=numbers, help="one for each channel, as 0.485,0.456,0.406")
    images.add_argument("--std", type=numbers, help="one for each channel, as 0.229,0.224,0.225")
    return parser


def whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def sides(text: str) -> int | list[int]:
    given = whole_numbers(text)
    return given[0] if len(given) == 1 else list(given)


def existing_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
