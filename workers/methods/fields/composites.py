"""LRP's composites: tables of rules as a request carries them, of every kind of entry that there is, and presets."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from workers.engine.rules.entry import Entry
from workers.engine.rules.named import entries
from workers.engine.rules.named.alpha_beta import AlphaBetaEntry
from workers.engine.rules.named.epsilon import EpsilonEntry, ZeroEntry
from workers.engine.rules.named.flat import FlatEntry
from workers.engine.rules.named.gamma import GammaEntry
from workers.engine.rules.named.z_box import ZBoxEntry
from workers.engine.rules.named.z_plus import ZPlusEntry

MOST_ENTRIES = 200  # of a table; one that names every layer of a deep net has fewer


class _AnyEntry:
    """Marks a field that takes any kind of entry, told by its `rule`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = {rule: handler.generate_schema(kind) for rule, kind in entries().items()}
        return core_schema.tagged_union_schema(kinds, discriminator="rule")


AnyEntry: TypeAlias = Annotated[Entry, _AnyEntry]
Table: TypeAlias = Annotated[tuple[AnyEntry, ...], Field(max_length=MOST_ENTRIES)]
Preset: TypeAlias = Literal[
    "zero", "epsilon", "gamma", "alpha1_beta0", "alpha2_beta1", "epsilon_plus", "epsilon_plus_flat",
    "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box", "composite",
]  # fmt: skip

_FLAT = FlatEntry(where="first")
_BOX = ZBoxEntry(where="first")
_EPSILON = EpsilonEntry()
_CONV_PLUS = ZPlusEntry(ops="convolution")
_CONV_ALPHA2 = AlphaBetaEntry(ops="convolution", alpha=2)

PRESETS: dict[Preset, Table] = {
    "zero": (ZeroEntry(),),
    "epsilon": (_EPSILON,),
    "gamma": (GammaEntry(),),
    "alpha1_beta0": (AlphaBetaEntry(alpha=1),),
    "alpha2_beta1": (AlphaBetaEntry(alpha=2),),
    "epsilon_plus": (_CONV_PLUS, _EPSILON),
    "epsilon_plus_flat": (_FLAT, _CONV_PLUS, _EPSILON),
    "epsilon_alpha2_beta1": (_CONV_ALPHA2, _EPSILON),
    "epsilon_alpha2_beta1_flat": (_FLAT, _CONV_ALPHA2, _EPSILON),
    "epsilon_gamma_box": (_BOX, GammaEntry(ops="convolution"), _EPSILON),
    "composite": (
        _BOX,
        GammaEntry(ops="convolution", where="lower_half"),
        EpsilonEntry(ops="convolution", where="upper_half", std=0.25),
        ZeroEntry(),
    ),
}
