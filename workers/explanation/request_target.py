"""Targets in a request's words, checked against the model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from workers.explanation.card import OPEN, Layer, ModelCard
from workers.explanation.errors import InvalidTarget
from workers.explanation.inputs import sizes
from workers.explanation.names.spelling import closest, meant
from workers.explanation.target import (
    ClassTarget,
    ElementTarget,
    MaskTarget,
    RankTarget,
    Target,
    UnitTarget,
    ValueTarget,
)
from workers.explanation.tensors import first_lengths, rows_of

MAX_TARGETS = 100
MOST_OPEN = 2**31  # a place along an axis of any length
LONGEST_INDEX = 18  # digits: what is longer is beyond 64 bits
_OBJECTS = (
    "an object target is one of {rank}, {top_k}, {class}, {class, mask}, {layer, channel}, {layer, token}, "
    "{layer, index}, {output, index}, {index}, {reduce}"
)
_adapter: TypeAdapter[Target] = TypeAdapter(Target)


def parse_targets(raw: Any, card: ModelCard) -> list[Target]:
    """The targets that a request names, checked against the model's card.

    Takes "argmax", "value", a class index or label, {"rank": k}, {"top_k": k}, {"layer": .., "channel": k} (or "token",
    "index"), {"output": .., "index": ..}, {"class": c, "mask": [[..]]}, {"index": ..} or {"reduce": "sum"} of an output
    of several numbers, or a list of these, which holds no lists. Raises InvalidTarget, which says what would be right.
    """
    if not isinstance(raw, list | tuple):
        return _one(raw, card)
    if not raw or len(raw) > MAX_TARGETS:
        raise _wrong(f"a list of targets holds 1 to {MAX_TARGETS} of them; this one holds {len(raw)}")
    if (count := sum(map(_count, raw))) > MAX_TARGETS:
        raise _wrong(
            f"a list of targets holds 1 to {MAX_TARGETS} of them; this one, each of its top_k counted, {count}"
        )
    return list(dict.fromkeys(target for item in raw for target in _one(item, card)))


def _count(raw: Any) -> int:
    """How many targets one is, before it is made; what is none is told later."""
    most = raw.get("top_k") if isinstance(raw, Mapping) else None
    return most if type(most) is int and most > 0 else 1


def _one(raw: Any, card: ModelCard) -> list[Target]:
    """One target, or the several of a top_k."""
    if isinstance(raw, list | tuple):
        raise _wrong("a list of targets holds targets, not lists")
    if isinstance(raw, Mapping):
        return _from_mapping(raw, card)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise _wrong("a target is a class index, a label, 'argmax', 'value' or an object")
    if raw == "value" or (raw == "argmax" and card.output == "value"):
        return [_value(card)]
    if raw == "argmax":
        return [RankTarget(rank=0)]
    return [_element(raw, card) if card.output == "value" else _class(raw, card)]


def _from_mapping(raw: Mapping[str, Any], card: ModelCard) -> list[Target]:
    if len(raw) > 2:
        raise _wrong(f"{_OBJECTS}; this one has {len(raw)} keys")
    keys = set(raw)
    if keys == {"top_k"}:
        count = _integer(raw["top_k"], "top_k", 1, min(classes(card), MAX_TARGETS))
        return [RankTarget(rank=k) for k in range(count)]
    if keys == {"rank"}:
        return [RankTarget(rank=_integer(raw["rank"], "rank", 0, classes(card) - 1))]
    if keys == {"class"}:
        return [_class(raw["class"], card)]
    if keys == {"index"}:
        return [_element(raw["index"], card)]
    if keys == {"reduce"}:
        return [_reduced(raw["reduce"], card)]
    if keys == {"class", "mask"}:
        return [_mask(raw, card)]
    if keys == {"output", "index"}:
        return [_of_output(raw, card)]
    if keys in ({"layer", "channel"}, {"layer", "token"}, {"layer", "index"}):
        return [_unit(raw, card)]
    raise _wrong(f"{_OBJECTS}; this one has {', '.join(sorted(str(key)[:80] for key in keys))[:80] or 'no keys'}")


def classes(card: ModelCard) -> int:
    """How many classes the output has; raises InvalidTarget where it has none."""
    if card.output == "value":
        raise _wrong(f"the output of {card.name} is a value and has no classes; {_right_value(card)}")
    return card.heads


def _class(raw: Any, card: ModelCard) -> ClassTarget:
    if isinstance(raw, str):
        matches = [i for i, label in enumerate(card.labels) if label == raw]
        if len(matches) > 1:
            raise _wrong(f"the label is not unique: it names the classes {', '.join(map(str, matches))}; use an index")
        if matches:
            return ClassTarget(index=matches[0])
        if not _is_index(raw):
            raise _wrong(_no_label(raw, card))
        raw = int(raw)
    return ClassTarget(index=_integer(raw, "a class index", 0, classes(card) - 1))


def _value(card: ModelCard) -> ValueTarget:
    if card.output != "value":
        raise _wrong(
            f"'value' is for models whose output is a value; the output of {card.name} is {card.output}, of the "
            f"classes 0 to {card.heads - 1}: the target is one of these, or 'argmax'"
        )
    if not card.is_number:
        raise _wrong(
            f"the output of {card.name} is numbers of the shape {sizes(card.outputs)}, and 'value' names "
            f"none of them; {_right_value(card)}"
        )
    return ValueTarget()


def _element(raw: Any, card: ModelCard) -> Target:
    """The number that an index names, or of a list a label; the one of an output that has no other."""
    if card.output != "value":
        raise _wrong(
            f"an index alone is of a number of a value output; the output of {card.name} is {card.output}: the target "
            'is a class, as {"class": 0}'
        )
    if isinstance(raw, str):
        if len(card.outputs) == 1 and card.labels.count(raw) == 1:
            raw = card.labels.index(raw)
        elif _is_index(raw):
            raw = int(raw)
        else:
            near = closest(raw, card.labels) if len(card.outputs) == 1 else None
            right = f"did you mean {near}?" if near else _right_value(card)
            raise _wrong(f"no number of the output of {card.name} has that name; {right}")
    index = (raw,) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    shape = card.outputs or (1,)
    if not _is_inside(index, shape):
        raise _wrong(f"the index of a number of {card.name} lies within its shape {sizes(shape)}; {_right_value(card)}")
    return ValueTarget() if card.is_number else ElementTarget(index=tuple(index))


def _reduced(raw: Any, card: ModelCard) -> Target:
    if card.output != "value":
        raise _wrong(
            f"only the numbers of a value output are reduced to one; the output of {card.name} is {card.output}: the "
            'target is a class, as {"class": 0}'
        )
    target = _checked({"kind": "reduced", "reduce": raw})
    return ValueTarget() if card.is_number else target


def _right_value(card: ModelCard) -> str:
    if card.is_number:
        return "the target is 'value'"
    first = [0] * len(card.outputs) if len(card.outputs) > 1 else 0
    return (
        f'the target names one of them, as {{"index": {first}}}, or all, as {{"reduce": "sum"}} or {{"reduce": "mean"}}'
    )


def _no_label(raw: str, card: ModelCard) -> str:
    if card.output == "binary":
        label = f" or {card.labels[0]!r}" if card.labels else ""
        return (
            f"no class of {card.name} has that label; its one logit is the target 0{label}, and what speaks against "
            "that speaks for the other class"
        )
    if not card.labels:
        return f"no class of {card.name} has a label; the target is an index, 0 to {classes(card) - 1}"
    return f"no class of {card.name} has that label; {meant(raw, card.labels)}"


def _unit(raw: Mapping[str, Any], card: ModelCard) -> UnitTarget:
    layer = card.layer(raw["layer"]) if isinstance(raw["layer"], str) else None
    if layer is None:
        raise _wrong(f"{card.name} has no such layer; {meant(raw['layer'], [one.name for one in card.layers])}")
    target = _checked({"kind": "unit", **raw, "layer": layer.name})
    assert isinstance(target, UnitTarget)
    for key in ("channel", "token"):
        if (place := getattr(target, key)) is not None:
            axis = axis_of(layer, key)
            most = (*layer.shape, 1)[axis]
            _integer(place, f"the {key} of {layer.name}", 0, MOST_OPEN if most == OPEN else most - 1)
            target = target.model_copy(update={"axis": axis})
    if target.index is not None and not _is_inside(target.index, layer.shape):
        raise _wrong(f"the index of a unit of {layer.name} lies within its shape {sizes(layer.shape)}")
    return target


def _of_output(raw: Mapping[str, Any], card: ModelCard) -> Target:
    """One number of any output, by its name: of the one explained an element, of the others a unit of a layer."""
    name, index = str(raw["output"]), raw["index"]
    shapes = card.returned or {"output": card.outputs}
    if name not in shapes:
        raise _wrong(f"{card.name} has no such output; {meant(name, shapes)}")
    index = [index] if type(index) is int else index
    if not _is_inside(index, shapes[name]):
        raise _wrong(f"the index of a number of {name} lies within its shape {sizes(shapes[name])}")
    if name == str(card.select) or not card.returned:
        return ElementTarget(index=tuple(index)) if shapes[name] else ValueTarget()
    layer = next(layer for layer in card.layers if name in layer.outputs)
    return UnitTarget(layer=layer.name, index=tuple(index))


def _is_inside(index: Any, shape: Sequence[int]) -> bool:
    return (
        isinstance(index, Sequence)
        and len(index) == len(shape)
        and all(type(i) is int and i >= 0 and (size == OPEN or i < size) for i, size in zip(index, shape, strict=True))
    )


def check_target(target: Target | None, card: ModelCard) -> None:
    """Raise InvalidTarget where a target of a model of open sizes lies beyond what it has for an input of this size."""
    if isinstance(target, ElementTarget) and not _is_inside(target.index, card.outputs):
        raise _wrong(f"the output for an input of this size has the shape {sizes(card.outputs)}")
    if isinstance(target, MaskTarget) and target.shape != card.outputs[1:]:
        raise _wrong(f"the output for an input of this size has the places {sizes(card.outputs[1:])}, unlike the mask")
    if isinstance(target, UnitTarget):
        shape = next((layer.shape for layer in card.layers if layer.name == target.layer), ())
        place = target.channel if target.channel is not None else target.token
        inside = place is None or place < (*shape, 1)[target.axis]
        if not inside or (target.index is not None and not _is_inside(target.index, shape)):
            raise _wrong(f"{target.layer} has the shape {sizes(shape)} for an input of this size")


def axis_of(layer: Layer, word: Literal["channel", "token"]) -> int:
    """Which axis of a layer counts its channels, or its tokens or steps; raises InvalidTarget where none does."""
    found = [k for k, name in enumerate(layer.axes) if name == word or (word == "token" and name == "time")]
    if found:
        return found[0]
    if word == "channel" and len(layer.shape) < 2:
        return 0
    known = f"its axes are {', '.join(layer.axes)}" if layer.axes else "what its axes are is not known"
    right = list(layer.axes) and [key for key in ("channel", "token") if key in layer.axes]
    instead = f'{{"layer": "{layer.name}", "{right[0]}": 0}}' if right else None
    unit = f'{{"layer": "{layer.name}", "index": {[0] * len(layer.shape)}}}'
    raise _wrong(
        f"{layer.name} of the shape {sizes(layer.shape)} has no {word}s: {known}; "
        f"send one unit by its place, {unit}{', or ' + instead if instead else ''}"
    )


def _mask(raw: Mapping[str, Any], card: ModelCard) -> MaskTarget:
    if card.output == "value" or len(card.outputs) < 2:
        raise _wrong(
            f"a mask is for segmentation outputs, whose classes have places; the output of {card.name} is "
            f"{card.output} of the shape {sizes(card.outputs)}"
        )
    found, places = _class(raw["class"], card), card.outputs[1:]
    shape = first_lengths(raw["mask"], len(places))
    if len(shape) != len(places) or any(want not in (OPEN, size) for want, size in zip(places, shape, strict=True)):
        raise _wrong(f"the mask has the shape {list(shape)}; the output's is {sizes(places)}")
    if rows_of(raw["mask"], shape) is None:
        raise _wrong(f"the mask's lists differ in length; its shape is the output's, {sizes(places)}")
    target = _checked({"kind": "mask", "index": found.index, "mask": raw["mask"]})
    assert isinstance(target, MaskTarget)
    if not np.any(target.mask):
        raise _wrong("the mask holds no place; it should be true at one or more")
    return target


def _is_index(text: str) -> bool:
    """Whether it is a number in digits that an index may be."""
    return len(text) <= LONGEST_INDEX and text.isdecimal()


def _checked(raw: Mapping[str, Any]) -> Target:
    try:
        return _adapter.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise _wrong(f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}") from None


def _integer(value: Any, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(f"{what} is a whole number from {low} to {high}")
    return value


def _wrong(detail: str) -> InvalidTarget:
    return InvalidTarget(detail, pointer="/target")
