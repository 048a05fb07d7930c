"""What each method promises and where it is known to fail: `claims.toml` of its family, with what shows each claim."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from workers.methods.method import Method


class Claim(NamedTuple):
    """A sentence; `seed` is where one of the texts says so, `shown` the test or page of this repository."""

    says: str
    shown: str
    seed: str = ""


class Claims(NamedTuple):
    promises: Claim
    fails: Claim


def claims(kind: type[Method]) -> Claims:
    """Of one method."""
    return _of_family(kind.family)[kind.model_fields["name"].default]


def inputs(kind: type[Method]) -> str:
    """Which inputs it takes, in a few words."""
    if not kind.takes_input:
        return "a dataset" if "dataset" in kind.needs else "none"
    if "layer" in kind.needs:
        return "one with places: images, series, volumes"
    if kind.two_inputs:
        return "two by name, of any kind"
    return "one alone, of any rank" if kind.one_input else "any, and several by name"


@cache
def _of_family(family: str) -> dict[str, Claims]:
    found = tomllib.loads((files("workers.methods") / family / "claims.toml").read_text(encoding="utf-8"))
    return {name: Claims(Claim(**one["promises"]), Claim(**one["fails"])) for name, one in found.items()}
