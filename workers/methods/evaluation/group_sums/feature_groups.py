"""Groups of an input's features: which features a group has, by their names or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.spelling import meant

if TYPE_CHECKING:
    from torch import Tensor


class FeatureGroup(Protocol):
    """Some features, by name or number."""

    @property
    def features(self) -> tuple[int | str, ...]: ...


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


def membership(groups: Sequence[FeatureGroup], spec: InputSpec, size: int) -> Tensor:
    """Which of so many features are in which group (groups, size), as 1 and 0; all in one where there are no groups.

    Raises InvalidParameter for a number beyond the features.
    """
    import torch

    if not groups:
        return torch.ones(1, size)
    found = torch.zeros(len(groups), size)
    for at, group in enumerate(groups):
        places = [spec.names.index(one) if isinstance(one, str) else one for one in group.features]
        if max(places) >= size:
            raise InvalidParameter(
                f"there is no feature {max(places)}; the attribution has {size}, counted from 0",
                pointer=f"/method/groups/{at}/features",
            )
        found[at, places] = 1
    return found
