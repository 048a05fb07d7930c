"""The operators that the graph of an archive may call: `operators.txt`, a name a line with its overloads.

These are aten's that compute: none reaches files, names, storage, devices or Python, none reads memory past what it
checks, and what writes in place has a twin that does not, which is run instead. Of arithmetic on sizes there is what
torch.export traces, less powers and shifts. `python -m workers.models.archive.operators` prints docs/operators.md.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

REGIONS = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})  # which engine/compile inlines
SIZES = frozenset(
    {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pos", "and_", "or_")}
    | {f"_operator.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge")}
    | {f"torch.{name}" for name in ("sym_int", "sym_float", "sym_not", "sym_ite", "sym_max", "sym_min", "sym_sqrt")}
    | {"math.trunc", "torch._sym_sqrt"}
)
# memory that nobody has written may hold what another client sent
CLEARED = {"empty.memory_format": "zeros.default", "empty_like.default": "zeros_like.default"} | {
    "new_empty.default": "new_zeros.default"
}
_ATEN = "torch.ops.aten."
_REGION = "torch.ops.higher_order."


@cache
def operators() -> dict[str, tuple[str, ...]]:
    """The overloads of each allowed operator of aten."""
    lines = files("workers.models.archive").joinpath("operators.txt").read_text("utf-8").splitlines()
    return {name: tuple(overloads) for name, *overloads in (line.split() for line in lines)}


def is_region(target: str) -> bool:
    return target.startswith(_REGION) and target.removeprefix(_REGION) in REGIONS


def allowed(target: str) -> bool:
    """Whether a graph may call the target, as torch spells it: `torch.ops.aten.relu.default`."""
    if target.startswith(_ATEN):
        name, _, overload = target.removeprefix(_ATEN).partition(".")
        return overload in operators().get(name, ())
    return target in SIZES or is_region(target)


def cleared(target: str) -> str:
    """The target, or for one that leaves its memory unwritten the one that fills it with zeros."""
    twin = CLEARED.get(target.removeprefix(_ATEN)) if target.startswith(_ATEN) else None
    return _ATEN + twin if twin else target


def page() -> str:
    """docs/operators.md."""
    aten = "\n".join(
        f"| `{name}` | {' '.join(f'`{overload}`' for overload in found)} |" for name, found in operators().items()
    )
    return (
        "# Operators\n\n"
        "<!-- written by `make operators` -->\n\n"
        "What the graph of a `.pt2` archive may call ([Models](models.md#an-archive-is-data)); anything else refuses "
        "the model by name.\nA call that writes in place is run as its twin that does not; `empty`, `empty_like` and "
        "`new_empty` as the one that fills with zeros.\n\n"
        f"Of regions: {_listed(_REGION + name for name in REGIONS)}.\n\n"
        f"On sizes: {_listed(SIZES)}.\n\n"
        f"Of `torch.ops.aten`, {sum(map(len, operators().values()))} overloads of {len(operators())} operators:\n\n"
        f"| operator | overloads |\n|---|---|\n{aten}\n"
    )


def _listed(names: object) -> str:
    assert not isinstance(names, str)
    return ", ".join(f"`{name}`" for name in sorted(names))  # type: ignore[call-overload]


if __name__ == "__main__":
    print(page(), end="")
