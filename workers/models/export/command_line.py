"""The options of `whence export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from workers.explanation.card import Output
from workers.models.export.options import (
    existing_file,
    index_or_key,
    named_file,
    named_shape,
    named_words,
    numbers,
    sides,
    words,
)


def parser() -> argparse.ArgumentParser:
    """The options of `whence export`."""
    found = argparse.ArgumentParser(prog="whence export", description="Write a model folder from a model's code.")
    found.add_argument("source", help="python:net.py:factory, python:package.module:factory, torchvision:NAME, "
                                      "timm:NAME or transformers:ID; transformers:FOLDER of save_pretrained; "
                                      "onnx:FILE")  # fmt: skip
    found.add_argument("--out", type=Path, required=True, help="the folder to write, as models/NAME")
    found.add_argument("--force", action="store_true", help="replace the folder where it is there already")
    found.add_argument("--weights", type=existing_file, help="a safetensors file; without it the factory's own")
    found.add_argument("--labels", type=existing_file, help="a text file with one class name a line")
    found.add_argument(
        "--output",
        help=f"{', '.join(get_args(Output))}; by default what the graph shows: probabilities after a softmax or a "
        "sigmoid, binary for one number, else logits",
    )
    found.add_argument("--select", type=index_or_key, help="of several outputs that which is explained: its index, or "
                       "its key; the others can be targets")  # fmt: skip
    _add_inputs(found)
    texts = found.add_argument_group("a model of texts, from a folder of save_pretrained")
    texts.add_argument("--length", type=int, help="the most tokens of a text, where it should be fewer than the model "
                       "takes")  # fmt: skip
    texts.add_argument("--pair", action="store_true", help="two texts: of a classifier as one sequence, the first "
                       "line and the rest; of a sentence encoder, and how similar they are")  # fmt: skip
    images = found.add_argument_group("how an image becomes the tensor")
    images.add_argument("--mode", help="RGB, BGR or L")
    images.add_argument("--resize", type=sides, help="shorter side in pixels, or height,width")
    images.add_argument("--crop", type=int, help="side of the centre crop in pixels")
    images.add_argument("--scale", type=float, help="pixels are 0 to this before mean and std (default 1)")
    images.add_argument("--mean", type=numbers, help="one for each channel, as 0.485,0.456,0.406")
    images.add_argument("--std", type=numbers, help="one for each channel, as 0.229,0.224,0.225")
    return found


def _add_inputs(found: argparse.ArgumentParser) -> None:
    inputs = found.add_argument_group("the inputs")
    inputs.add_argument("--shape", type=named_shape, action="append", default=[], help="without the batch axis, "
                        "as 3,224,224; * is an axis of any length; once for each, or NAME=3,224,224")  # fmt: skip
    inputs.add_argument("--names", type=words, help="of several inputs, in the order of the model's arguments, as "
                        "image,row; by default those of forward")  # fmt: skip
    inputs.add_argument("--ids", type=words, default=[], help="the names of those that are whole numbers, as ids of "
                        "tokens: what is explained of them is what the model's embedding looks up")  # fmt: skip
    inputs.add_argument("--held", type=words, default=[], help="the names of those that are context, as a mask: "
                        "neither altered nor explained")  # fmt: skip
    inputs.add_argument("--axes", type=named_words, action="append", default=[], help="a name for each axis, as "
                        "channel,time; of several inputs NAME=channel,time")  # fmt: skip
    inputs.add_argument("--example", type=named_file, action="append", help="an image, .npy or .safetensors that the "
                        "model is meant for: outputs and gradients are compared on it, else on plausible inputs; of "
                        "several inputs NAME=FILE for each, or a .safetensors file of all")  # fmt: skip
