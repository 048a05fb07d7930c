"""A folder that save_pretrained wrote: its model for the tensors that Whence gives it, its tokenizer, its labels."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.explanation.card import Output
from workers.explanation.errors import InvalidFolder
from workers.models.export.pretrained_images import image_section
from workers.models.export.pretrained_modules import Detector, ImageModel, Similarity, TextModel, of_tokens
from workers.models.export.pretrained_text import (
    LONGEST,
    TOKENIZER,
    longest_text,
    padding_of,
    read_json,
    tokenizer_of,
)


@dataclass(frozen=True)
class Pretrained:
    """`inputs` are the card's tables by name, in the order of the module's arguments; `tokenizer` its file's bytes.

    `select` names the output that is explained, where there are several.
    """

    module: nn.Module
    inputs: Mapping[str, Mapping[str, Any]]
    output: Output
    labels: tuple[str, ...] = ()
    tokenizer: bytes | None = None
    select: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def is_pretrained(name: str) -> bool:
    """Whether a name is that of a folder of save_pretrained."""
    return (Path(name) / "config.json").is_file()


def read_pretrained(folder: Path, length: int | None, pair: bool) -> Pretrained:
    """The model of a folder; raises InvalidFolder for one of a kind that is not known here.

    `length`: the most tokens of a text, where it should be fewer than the model takes. `pair`: of a sentence encoder,
    take two texts and return how similar they are, instead of the vector of one.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise InvalidFolder(
            "transformers: is not installed; install it with: pip install 'whence[transformers]'"
        ) from None
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    name = next(iter(config.architectures or ()), "")
    for ending, read in _KINDS.items():
        if name.endswith(ending):
            kind = getattr(transformers, f"AutoModel{ending}")
            model = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
            return read(model, folder, length)
    if name.endswith("Model"):
        model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        return _encoder(model, folder, length, pair)
    raise InvalidFolder(
        f"{folder}: its config.json says {name or 'no architecture'}; taken are models for "
        f"{', '.join(ending.removeprefix('For') for ending in _KINDS)} and sentence encoders: for others write a "
        "factory, as python:net.py:build"
    )


def _labels(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[index]) for index in sorted(config.id2label))


def _classes(config: Any) -> tuple[Output, tuple[str, ...]]:
    """What the logits of a classifier are, and their names."""
    if config.num_labels == 1:
        return "value", ()
    kind: Output = "multilabel" if config.problem_type == "multi_label_classification" else "logits"
    return kind, _labels(config)


def _sequences(model: Any, folder: Path, length: int | None) -> Pretrained:
    output, labels = _classes(model.config)
    one = model.config.num_labels == 1
    return _of_text(model, folder, length, lambda out, _: out.logits[:, 0] if one else out.logits, output, labels)


def _tokens(model: Any, folder: Path, length: int | None) -> Pretrained:
    """Classes first, then tokens, as a segmentation of the text."""
    labels = _labels(model.config)
    return _of_text(model, folder, length, lambda out, there: of_tokens(out.logits, there), "segmentation", labels)


def _answers(model: Any, folder: Path, length: int | None) -> Pretrained:
    """Where the answer starts and where it ends: (2, tokens)."""

    def both(out: Any, there: Tensor) -> Tensor:
        return of_tokens(torch.stack([out.start_logits, out.end_logits], 2), there)

    return _of_text(model, folder, length, both, "value", ("start", "end"))


def _encoder(model: Any, folder: Path, length: int | None, pair: bool) -> Pretrained:
    pooling = read_json(folder / "1_Pooling" / "config.json")

    def pooled(out: Any, there: Tensor) -> Tensor:
        hidden: Tensor = out.last_hidden_state
        if pooling.get("pooling_mode_cls_token") or pooling.get("pooling_mode") == "cls":
            return hidden[:, 0]
        weights = there.unsqueeze(2).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)

    one = _of_text(model, folder, length, pooled, "value", ())
    if not pair:
        return one
    (spec,) = one.inputs.values()
    assert isinstance(one.module, TextModel)
    inputs = {"one": spec, "other": spec}
    return Pretrained(Similarity(one.module).eval(), inputs, "value", (), one.tokenizer)


def _of_text(
    model: Any,
    folder: Path,
    length: int | None,
    head: Callable[[Any, Tensor], Tensor],
    output: Output,
    labels: tuple[str, ...],
) -> Pretrained:
    tokenizer = tokenizer_of(folder)
    padding = padding_of(model.config, tokenizer)
    most = longest_text(model.config, folder, padding)
    if length is not None and not 0 < length <= most:
        raise InvalidFolder(f"--length {length}: the model of {folder} takes 1 to {most} tokens")
    own = {"kind": "text", "tokenizer": TOKENIZER} if tokenizer else {"kind": "tensor", "dtype": "int64"}
    spec: dict[str, Any] = {**own, "shape": ["*"], "axes": ["token"], "length": length or min(most, LONGEST)}
    module = TextModel(model, padding, head).eval()
    return Pretrained(module, {"input": {**spec, "padding": padding}}, output, labels, tokenizer)


def _images(model: Any, folder: Path, _: int | None) -> Pretrained:
    section = image_section(model.config, folder)
    return Pretrained(ImageModel(model).eval(), {"input": section}, *_classes(model.config))


def _detector(model: Any, folder: Path, _: int | None) -> Pretrained:
    """Classes first, then boxes; the last class is that of a box that holds nothing."""
    section = image_section(model.config, folder)
    labels = (*_labels(model.config), "no object")
    return Pretrained(Detector(model).eval(), {"input": section}, "segmentation", labels, select="scores")


_KINDS: Mapping[str, Callable[[Any, Path, int | None], Pretrained]] = {
    "ForSequenceClassification": _sequences,
    "ForTokenClassification": _tokens,
    "ForQuestionAnswering": _answers,
    "ForImageClassification": _images,
    "ForObjectDetection": _detector,
}
