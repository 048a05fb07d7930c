"""Inputs by name, and how several are laid end to end: what methods are given of them is one list of numbers.

So a method that takes one tensor takes any number of inputs: the image's pixels and the row's columns are places of one
list, a path or a sum over all of them is one over the list, and their own shapes are kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from workers.explanation.card import IDS, OPEN, InputSpec, ModelCard, Part

NOMINAL = 64  # of an axis of any length, where nothing says another
Embedded: TypeAlias = tuple[tuple[int, ...], tuple[int, ...] | None]  # the shape, and which ids a part's vectors are of
Shapes: TypeAlias = tuple[tuple[int, ...], ...]  # of all inputs, in order
ONE = "input"  # the name of an input that has none
WORDS = ".words"


def fed(inputs: Mapping[str, InputSpec]) -> dict[str, InputSpec]:
    """The tensors that a model is given of its inputs, by name: of a text its ids, and beside them what else is fed."""
    found: dict[str, InputSpec] = {}
    for name, spec in inputs.items():
        if spec.kind != "text":
            found[name] = spec
            continue
        for feed in spec.feeds:
            found[name if feed == IDS else f"{name}.{feed}"] = _tokens(spec, held=feed != IDS)
    return found


def _tokens(spec: InputSpec, *, held: bool) -> InputSpec:
    """A number for each token of a text."""
    whole: dict[str, Any] = {"kind": "tensor", "tokenizer": None, "feeds": (IDS,), "held": held}
    return spec.model_copy(update=whole)


def words_of(name: str) -> str:
    """What is laid beside a text for methods alone: the number of each token's word, -1 for what is none of it."""
    return f"{name}{WORDS}"


def laid(inputs: Mapping[str, InputSpec]) -> dict[str, InputSpec]:
    """What is laid end to end of inputs: what the model is given, and last what methods know besides of texts."""
    beside = {words_of(name): _tokens(spec, held=True) for name, spec in inputs.items() if spec.kind == "text"}
    return {**fed(inputs), **beside}


def of_laid(inputs: Mapping[str, InputSpec], shapes: Shapes) -> Shapes:
    """The shapes of all that is laid, from those of what the model is given: what is beside a text is of its shape."""
    own = dict(zip((name for name in inputs if not is_beside(name)), shapes, strict=True))
    return tuple(own[name.removesuffix(WORDS)] for name in inputs)


def is_beside(name: str) -> bool:
    """Whether what has this name is for methods, and no tensor of the model's."""
    return name.endswith(WORDS)


def given_parts(spec: InputSpec) -> list[Part]:
    """What a model is given, of all that is laid end to end."""
    return [part for part in spec.parts if not part.embedding and not is_beside(part.name)]


def has_ids(spec: InputSpec) -> bool:
    """Whether a model looks something up for its inputs, which methods are given beside them."""
    return any(part.embedding for part in spec.parts)


def is_plain(inputs: Mapping[str, InputSpec]) -> bool:
    """Whether it is one tensor of floats, which methods are given as it is."""
    return len(inputs) == 1 and all(spec.dtype == "float32" and not spec.held for spec in inputs.values())


def joined(inputs: Mapping[str, InputSpec], embeddings: Mapping[str, Sequence[Embedded]]) -> InputSpec:
    """What methods are given: the input itself where `is_plain`, else all end to end, and then the embeddings of ids.

    An input with an axis of any length has no place in a list before its length is known.
    """
    if is_plain(inputs):
        return next(iter(inputs.values()))
    parts: list[Part] = []
    for name, spec in _but_beside(inputs):
        held = spec.held or spec.dtype != "float32"
        parts.append(_after(parts, Part(name=name, shape=spec.shape, start=0, channels=spec.channel_axis, held=held)))
    for name, found in embeddings.items():
        for shape, places in found:
            part = Part(name=name, shape=shape, start=0, channels=len(shape) - 1, embedding=True, places=places)
            parts.append(_after(parts, part))
    for name in filter(is_beside, inputs):
        parts.append(_after(parts, Part(name=name, shape=inputs[name].shape, start=0, held=True)))
    size = "*" if any(OPEN in part.shape for part in parts) else parts[-1].stop
    return InputSpec.model_validate({"kind": "several", "shape": (size,), "parts": tuple(parts)})


def _but_beside(inputs: Mapping[str, InputSpec]) -> list[tuple[str, InputSpec]]:
    return [(name, spec) for name, spec in inputs.items() if not is_beside(name)]


def _after(parts: Sequence[Part], part: Part) -> Part:
    return part.model_copy(update={"start": parts[-1].stop if parts else 0})


def explained(spec: InputSpec) -> tuple[Part, ...]:
    """The parts that are explained: no context, and of ids what they are embedded as."""
    return tuple(part for part in spec.parts if not part.held)


def is_open(inputs: Mapping[str, InputSpec]) -> bool:
    """Whether an input has an axis of any length."""
    return any(OPEN in spec.shape for spec in inputs.values())


def other_sizes(shapes: Shapes, inputs: Mapping[str, InputSpec]) -> Iterator[Shapes]:
    """The shapes of inputs twice as long along their open axes, and half as long; none longer than an input may be."""
    for factor in (2.0, 0.5):
        found = tuple(
            tuple(
                max(int(factor * own), 1) if want == OPEN else own for own, want in zip(shape, spec.shape, strict=True)
            )
            for shape, spec in zip(shapes, inputs.values(), strict=True)
        )
        if all(
            spec.length is None or shape[0] <= spec.length for shape, spec in zip(found, inputs.values(), strict=True)
        ):
            yield found


def opened(card: ModelCard, other: ModelCard, named: Mapping[str, InputSpec]) -> ModelCard:
    """The card of a model of open sizes, by those of two sizes: where they differ, any length is told."""
    both = zip(card.layers, other.layers, strict=False)
    layers = tuple(one.model_copy(update={"shape": _any(one.shape, two.shape)}) for one, two in both)
    update = {
        "input": joined(named, {}),
        "inputs": dict(named) if card.inputs else {},
        "layers": layers,
        "outputs": _any(card.outputs, other.outputs),
        "returned": {name: _any(shape, other.returned[name]) for name, shape in card.returned.items()},
    }
    return card.model_copy(update=update)


def _any(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a if a == b else OPEN for a, b in zip(one, two, strict=True)) if len(one) == len(two) else one


def at_sizes(card: ModelCard, shapes: Mapping[str, Sequence[int]]) -> ModelCard:
    """The card with inputs of these shapes, and with a usual length along what else is open: for estimates."""
    named = {
        name: spec.model_copy(update={"shape": tuple(shapes.get(name, _usual(spec.shape)))})
        for name, spec in card.named.items()
    }
    layers = tuple(layer.model_copy(update={"shape": _usual(layer.shape)}) for layer in card.layers)
    update = {"input": joined(named, {}), "layers": layers, "outputs": _usual(card.outputs)}
    return card.model_copy(update=update | ({"inputs": named} if card.inputs else {}))


def _usual(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(NOMINAL if size == OPEN else size for size in shape)


def fits(spec: InputSpec, shape: Sequence[int]) -> bool:
    """Whether a tensor of that shape can be the input."""
    return len(shape) == len(spec.shape) and all(
        want in (OPEN, size) for want, size in zip(spec.shape, shape, strict=True)
    )


def spoken(spec: InputSpec) -> str:
    """Its shape as a card says it: `[3, *, *]`."""
    return sizes(spec.shape)


def sizes(shape: Sequence[int]) -> str:
    """A shape as a card says it, an axis of any length by a star."""
    return f"[{', '.join('*' if size == OPEN else str(size) for size in shape)}]"
