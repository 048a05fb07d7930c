"""What is said of a model before its graph is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workers.explanation.card import InputSpec, Output
from workers.explanation.inputs import ONE, Shapes, fed, joined, laid


@dataclass(frozen=True)
class ModelSpec:
    """What a folder says of a model; `digest` is "sha256:" and 64 hex digits, of all that decides.

    `inputs` are those that have names, and `input` what methods are given of them. `select` is which of its outputs.
    """

    name: str
    digest: str
    output: Output
    input: InputSpec
    labels: tuple[str, ...]
    default_method: str
    accuracy: float | None
    inputs: Mapping[str, InputSpec] = field(default_factory=dict, kw_only=True)
    select: int | str | None = field(default=None, kw_only=True)

    @property
    def named(self) -> Mapping[str, InputSpec]:
        """The inputs by name, in the order of the model's arguments; one that has no name is called `input`."""
        return self.inputs or {ONE: self.input}

    @property
    def fed(self) -> Mapping[str, InputSpec]:
        """The tensors that the model is given of them, by name."""
        return fed(self.named)

    @property
    def laid(self) -> Mapping[str, InputSpec]:
        """What methods are given of them: these tensors, and what is known besides of texts."""
        return laid(self.named)


def of_shapes(spec: ModelSpec, shapes: Shapes) -> ModelSpec:
    """The same of a model whose inputs, as they are laid, have these shapes."""
    given = dict(zip(spec.laid, shapes, strict=True))
    named = {name: one.model_copy(update={"shape": given[name]}) for name, one in spec.named.items()}
    return replace(spec, inputs=named if spec.inputs else {}, input=joined(named, {}))
