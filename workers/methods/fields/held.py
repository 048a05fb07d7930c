"""Fields that hold one kind of method and no other."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from workers.methods.method import AnyMethod, Method


def _only(name: str) -> AfterValidator:
    def named(method: Method) -> Method:
        if method.name != name:
            raise ValueError(f"this holds a {name}, and {method.name} is none")
        return method

    return AfterValidator(named)


Rates: TypeAlias = Annotated[AnyMethod, _only("activation_rates")]
Patterns: TypeAlias = Annotated[AnyMethod, _only("pattern_fit")]
Neon: TypeAlias = Annotated[AnyMethod, _only("neon_fit")]
Calibration: TypeAlias = Annotated[AnyMethod, _only("temperature")]


def _attributes(method: Method) -> Method:
    if method.kind != "attribution":
        raise ValueError(f"this holds a method that makes attributions, and {method.name} makes none")
    return method


def _of_an_input(method: Method) -> Method:
    if not method.takes_input:
        raise ValueError(f"this holds a method that explains an input, and {method.name} takes none")
    return method


OfAnInput: TypeAlias = Annotated[AnyMethod, AfterValidator(_of_an_input)]
Attributing: TypeAlias = Annotated[AnyMethod, AfterValidator(_attributes)]


def _over_a_dataset(method: Method) -> Method:
    if method.takes_input:
        raise ValueError(f"this holds the {method.name} of a dataset; give it a dataset and the classes to begin at")
    return method


DependencyGraph: TypeAlias = Annotated[AnyMethod, _only("ssa"), AfterValidator(_over_a_dataset)]
