"""Groups of an input's features: which features a group has, by their names or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.names.spelling import meant

if TYPE_CHECKING:
    from torch import Tensor


class FeatureGroup(Protocol):
    """Some features, by name, number or place."""

    @property
    def features(self) -> tuple[int | str | tuple[int | None, ...], ...]: ...


def check(spec: InputSpec, groups: Sequence[FeatureGroup]) -> None:
    """Raise InvalidParameter for a feature of a name that the card has not, naming those that it has."""
    for at, group in enumerate(groups):
        for feature in group.features:
            if isinstance(feature, str) and feature not in spec.names:
                known = (
                    meant(feature, list(spec.names))
                    if spec.names
                    else "the card names none; features are counted from 0"
                )
                raise InvalidParameter(
                    f"there is no feature {feature!r}; {known}", pointer=f"/method/groups/{at}/features"
                )


def membership(groups: Sequence[FeatureGroup], spec: InputSpec, shape: Sequence[int]) -> Tensor:
    """Which features of an attribution are in which group (groups, features), as 1 and 0; without groups all in one.

    Raises InvalidParameter for one beyond the attribution's shape.
    """
    import torch

    if not groups:
        return torch.ones(1, math.prod(shape))
    found = torch.zeros(len(groups), *shape)
    for at, group in enumerate(groups):
        for feature in group.features:
            place = (spec.names.index(feature),) if isinstance(feature, str) else feature
            if isinstance(place, int):
                _check([place], [math.prod(shape)], at)
                found[at].view(-1)[place] = 1
            else:
                _check(place, shape, at)
                found[at][tuple(slice(None) if one is None else one for one in place)] = 1
    return found.flatten(1)


def _check(place: Sequence[int | None], sizes: Sequence[int], group: int) -> None:
    beyond = len(place) > len(sizes) or any(
        one is not None and one >= size for one, size in zip(place, sizes, strict=False)
    )
    if beyond:
        asked = place[0] if len(sizes) == 1 and len(place) == 1 else list(place)
        raise InvalidParameter(
            f"there is no feature {asked}; the attribution has {' x '.join(map(str, sizes))}, counted from 0",
            pointer=f"/method/groups/{group}/features",
        )
