"""A folder that save_pretrained wrote: its model for the tensors that Whence gives it, its tokenizer, its labels."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from workers.explanation.card import IDS, Feed, Output
from workers.explanation.errors import InvalidFolder
from workers.models.export.pretrained_images import check_image, image_preparation, image_section
from workers.models.export.pretrained_modules import (
    Detector,
    Head,
    ImageModel,
    LastEnd,
    Similarity,
    TextModel,
    of_tokens,
)
from workers.models.export.pretrained_pooling import pooling_of
from workers.models.export.pretrained_samples import check_text, laid_out, read_samples
from workers.models.export.pretrained_text import (
    LONGEST,
    TOKENIZER,
    library_tokenizer,
    longest_text,
    padding_of,
    takes_types,
    tokenizer_of,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """`inputs` are the card's tables by name, in the order of the module's arguments; `tokenizer` its file's bytes.

    `select` names the output that is explained, where there are several. `example` are plausible
    inputs by the names of what the module is fed, where the folder has what makes some.
    """

    module: nn.Module
    inputs: Mapping[str, Mapping[str, Any]]
    output: Output
    labels: tuple[str, ...] = ()
    tokenizer: bytes | None = None
    select: str | None = None
    example: Mapping[str, Tensor] | None = None

    def of_one_length(self) -> Pretrained:
        """The same for texts that are all padded to the longest that there may be."""
        inputs = {name: {**section, "shape": [section["length"]]} for name, section in self.inputs.items()}
        if self.example is None:
            return replace(self, inputs=inputs)
        longest = {name: inputs[name.partition(".")[0]] for name in self.example}
        padded = {
            name: nn.functional.pad(
                rows,
                (0, longest[name]["length"] - rows.shape[1]),
                value=longest[name]["padding"] if name in inputs else 0,
            )
            for name, rows in self.example.items()
        }
        return replace(self, inputs=inputs, example=padded)


@dataclass(frozen=True)
class Asked:
    """What the command says of texts: how many tokens they have at most, None as many as the model takes, and whether
    they are two."""

    length: int | None
    pair: bool


Reader: TypeAlias = Callable[[Any, Path, Asked], Pretrained]


def is_pretrained(name: str) -> bool:
    """Whether a name is that of a folder of save_pretrained."""
    return (Path(name) / "config.json").is_file()


def read_pretrained(folder: Path, length: int | None, pair: bool) -> Pretrained:
    """The model of a folder; raises InvalidFolder for one of a kind that is not known here.

    `length`: the most tokens of a text, where it should be fewer than the model takes. `pair`: texts may be two in one
    sequence, as a premise and a hypothesis; of a sentence encoder, take two texts and return how similar they are,
    instead of the vector of one. What answers questions takes two without a word.
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
            return read(model, folder, Asked(length, pair))
    if name.endswith("Model"):
        model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        return _encoder(model, folder, Asked(length, pair))
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


def _sequences(model: Any, folder: Path, asked: Asked) -> Pretrained:
    output, labels = _classes(model.config)
    one = model.config.num_labels == 1

    def logits(out: Any, _: Tensor) -> Tensor:
        found: Tensor = out.logits
        return found[:, 0] if one else found

    by_end = model.config.is_encoder_decoder and hasattr(model, "classification_head")
    return _of_text(model, folder, asked, logits, output, labels, LastEnd(model) if by_end else model)


def _tokens(model: Any, folder: Path, asked: Asked) -> Pretrained:
    """Classes first, then tokens, as a segmentation of the text."""
    labels = _labels(model.config)
    return _of_text(model, folder, asked, lambda out, there: of_tokens(out.logits, there), "segmentation", labels)


def _answers(model: Any, folder: Path, asked: Asked) -> Pretrained:
    """Where the answer starts and where it ends: (2, tokens)."""

    def both(out: Any, there: Tensor) -> Tensor:
        return of_tokens(torch.stack([out.start_logits, out.end_logits], 2), there)

    return _of_text(model, folder, replace(asked, pair=True), both, "value", ("start", "end"))


def _encoder(model: Any, folder: Path, asked: Asked) -> Pretrained:
    pooled = pooling_of(folder)
    one = _of_text(model, folder, replace(asked, pair=False), pooled, "value", ())
    if not asked.pair:
        return one
    (spec,) = one.inputs.values()
    assert isinstance(one.module, TextModel)
    example = None
    if one.example is not None:
        (rows,) = one.example.values()
        example = {"one": rows, "other": rows.flip(0)}
    inputs = {"one": spec, "other": spec}
    return replace(one, module=Similarity(one.module).eval(), inputs=inputs, example=example)


def _of_text(
    model: Any,
    folder: Path,
    asked: Asked,
    head: Head,
    output: Output,
    labels: tuple[str, ...],
    core: nn.Module | None = None,
) -> Pretrained:
    """`core` computes what the model does, of its ids and mask alone, in a way that can be exported."""
    library = library_tokenizer(folder)
    tokenizer = tokenizer_of(folder, library)
    padding = padding_of(model.config, tokenizer)
    model.config.pad_token_id = padding  # by which decoders look for the last token
    most = longest_text(model, folder, padding)
    if asked.length is not None and not 0 < asked.length <= most:
        raise InvalidFolder(f"--length {asked.length}: the model of {folder} takes 1 to {most} tokens")
    module = TextModel(core or model, padding, head).eval()
    spec: dict[str, Any] = {"kind": "tensor", "dtype": "int64", "shape": ["*"], "axes": ["token"], "padding": padding}
    spec["length"] = length = asked.length or min(most, LONGEST)
    if tokenizer is None:
        return Pretrained(module, {"input": spec}, output, labels)
    texts = read_samples(tokenizer, length, padding, asked.pair, str(folder))
    feeds: list[Feed] = [IDS]
    if any(takes_types(core or model, library, text.types) for text in texts.values()):
        feeds.append("token_type_ids")
    check_text(TextModel(model, padding, head).eval(), module, library, texts, feeds, str(folder))
    del spec["dtype"]
    spec |= {"kind": "text", "tokenizer": TOKENIZER}
    spec |= {"feeds": feeds} if len(feeds) > 1 else {}
    spec |= {"pair": True} if asked.pair else {}
    return Pretrained(
        module, {"input": spec}, output, labels, tokenizer, example=laid_out(texts.values(), feeds, padding)
    )


def _images(model: Any, folder: Path, _: Asked) -> Pretrained:
    processor = image_preparation(folder)
    section = image_section(model.config, folder, processor)
    check_image(section, folder, processor)
    return Pretrained(ImageModel(model).eval(), {"input": section}, *_classes(model.config))


def _detector(model: Any, folder: Path, _: Asked) -> Pretrained:
    """Classes first, then boxes; the last class is that of a box that holds nothing."""
    processor = image_preparation(folder)
    section = image_section(model.config, folder, processor)
    try:
        check_image(section, folder, processor)
    except InvalidFolder as error:
        log.warning("%s", error.detail.partition("; ")[0])  # of boxes, most keep a picture's proportions
    labels = (*_labels(model.config), "no object")
    return Pretrained(Detector(model).eval(), {"input": section}, "segmentation", labels, select="scores")


_KINDS: Mapping[str, Reader] = {
    "ForSequenceClassification": _sequences,
    "ForTokenClassification": _tokens,
    "ForQuestionAnswering": _answers,
    "ForImageClassification": _images,
    "ForObjectDetection": _detector,
}
