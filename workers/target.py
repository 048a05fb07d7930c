"""Target: which number of the model an explanation explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from workers.card import ModelCard
from workers.errors import InvalidTarget

MAX_TARGETS = 100


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ClassTarget(_Target):
    """The score of a class, by index."""

    kind: Literal["class"] = "class"
    index: int = Field(ge=0)


class RankTarget(_Target):
    """The score of the class that has this rank for this input; rank 0 is the predicted class."""

    kind: Literal["rank"] = "rank"
    rank: int = Field(ge=0)


class UnitTarget(_Target):
    """A channel of a layer (its sum over the other axes), or one unit by its index without the batch axis."""

    kind: Literal["unit"] = "unit"
    layer: str
    channel: int | None = Field(default=None, ge=0)
    index: tuple[int, ...] | None = None


class MaskTarget(_Target):
    """A class of a segmentation output, summed over a mask."""

    kind: Literal["mask"] = "mask"
    index: int = Field(ge=0)
    mask: tuple[tuple[bool, ...], ...]


class ValueTarget(_Target):
    """The output of a model with one number."""

    kind: Literal["value"] = "value"


Target: TypeAlias = Annotated[
    ClassTarget | RankTarget | UnitTarget | MaskTarget | ValueTarget, Field(discriminator="kind")
]
_adapter: TypeAdapter[Target] = TypeAdapter(Target)


def parse_targets(raw: Any, card: ModelCard) -> list[Target]:
    """The targets that a request names, checked against the model's card.

    Takes "argmax", "value", a class index or label, {"rank": k}, {"top_k": k}, {"layer": .., "channel"|"index": ..},
    {"class": c, "mask": [[..]]}, or a list of these. Raises InvalidTarget, which says what would be right.
    """
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        if not raw or len(raw) > MAX_TARGETS:
            raise _wrong(f"a list of targets holds 1 to {MAX_TARGETS} of them; this one holds {len(raw)}")
        found = [target for item in raw for target in parse_targets(item, card)]
        return list(dict.fromkeys(found))
    if isinstance(raw, Mapping):
        return _from_mapping(raw, card)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise _wrong("a target is a class index, a label, 'argmax', 'value' or an object")
    if raw == "argmax":
        return [ValueTarget() if card.output == "value" else RankTarget(rank=0)]
    if raw == "value":
        return [_value(card)]
    return [_class(raw, card)]


def _from_mapping(raw: Mapping[str, Any], card: ModelCard) -> list[Target]:
    keys = set(raw)
    if keys == {"top_k"}:
        count = _integer(raw["top_k"], "top_k", 1, min(classes(card), MAX_TARGETS))
        return [RankTarget(rank=k) for k in range(count)]
    if keys == {"rank"}:
        return [RankTarget(rank=_integer(raw["rank"], "rank", 0, classes(card) - 1))]
    if keys == {"class"}:
        return [_class(raw["class"], card)]
    if keys == {"class", "mask"}:
        return [_mask(raw, card)]
    if keys == {"layer", "channel"} or keys == {"layer", "index"}:
        return [_unit(raw, card)]
    raise _wrong(
        "an object target is one of {rank}, {top_k}, {class}, {class, mask}, {layer, channel}, {layer, index}; "
        f"this one has {', '.join(sorted(map(str, keys)))[:80] or 'no keys'}"
    )


def classes(card: ModelCard) -> int:
    """How many classes the output has; raises InvalidTarget where it has none."""
    if card.output == "value":
        raise _wrong("this model's output is one value and has no classes; the target is 'value'")
    return card.outputs[0]


def _class(raw: Any, card: ModelCard) -> ClassTarget:
    if isinstance(raw, str):
        matches = [i for i, label in enumerate(card.labels) if label == raw]
        if len(matches) > 1:
            raise _wrong(f"the label is not unique: it names the classes {', '.join(map(str, matches))}; use an index")
        if matches:
            return ClassTarget(index=matches[0])
        if not raw.isdecimal():
            raise _wrong(f"no class of {card.name} has that label; GET /api/v1/models/{card.name} lists them")
        raw = int(raw)
    return ClassTarget(index=_integer(raw, "a class index", 0, classes(card) - 1))


def _value(card: ModelCard) -> ValueTarget:
    if card.output != "value":
        raise _wrong(f"'value' is for models with one output number; {card.name} has {card.outputs[0]} classes")
    return ValueTarget()


def _unit(raw: Mapping[str, Any], card: ModelCard) -> UnitTarget:
    layer = next((la for la in card.layers if raw["layer"] == la.name or raw["layer"] in la.aliases), None)
    if layer is None:
        raise _wrong(f"{card.name} has no such layer; GET /api/v1/models/{card.name} lists them")
    target = _checked({"kind": "unit", **raw, "layer": layer.name})
    assert isinstance(target, UnitTarget)
    if target.channel is not None:
        _integer(target.channel, f"the channel of {layer.name}", 0, (layer.shape or (1,))[0] - 1)
    if target.index is not None:
        inside = len(target.index) == len(layer.shape) and all(
            0 <= i < n for i, n in zip(target.index, layer.shape, strict=False)
        )
        if not inside:
            raise _wrong(f"the index of a unit of {layer.name} lies within its shape {list(layer.shape)}")
    return target


def _mask(raw: Mapping[str, Any], card: ModelCard) -> MaskTarget:
    if card.output != "segmentation":
        raise _wrong(f"a mask is for segmentation outputs; the output of {card.name} is {card.output}")
    found = _class(raw["class"], card)
    target = _checked({"kind": "mask", "index": found.index, "mask": raw["mask"]})
    assert isinstance(target, MaskTarget)
    shape = (len(target.mask), *{len(row) for row in target.mask})
    if shape != card.outputs[1:]:
        raise _wrong(f"the mask has the shape {list(shape)}; the output's is {list(card.outputs[1:])}")
    return target


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
