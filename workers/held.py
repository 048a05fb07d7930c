"""Fields that hold one kind of method and no other."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from workers.method import AnyMethod, Method


def _only(name: str) -> AfterValidator:
    def named(method: Method) -> Method:
        if method.name != name:
            raise ValueError(f"this holds a {name}, and {method.name} is none")
        return method

    return AfterValidator(named)


Rates: TypeAlias = Annotated[AnyMethod, _only("activation_rates")]
Patterns: TypeAlias = Annotated[AnyMethod, _only("pattern_fit")]
