"""The word Method: a frozen pydantic model whose fields are its parameters and whose one verb is `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from workers.explanation.card import FULL, InputSpec, Precision
from workers.explanation.errors import ANY_FUNCTION, InvalidParameter, MethodNotApplicable, UnknownMethod, methods
from workers.explanation.names.references import DatasetName, ModelName, with_datasets, with_models
from workers.explanation.names.spelling import meant
from workers.explanation.result import Kind, Result
from workers.methods.blame import blaming
from workers.methods.extent import Extent

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.model import Model

Need: TypeAlias = Literal["gradients", "graph", "layer", "dataset"]
OF_A_GRAPH: frozenset[Need] = frozenset({"gradients", "graph", "layer"})  # what a function alone does not have
NEEDED: Mapping[Need, str] = {"gradients": "gradients", "graph": "the graph of the model", "layer": "a layer's values"}
Asked: TypeAlias = (
    Any  # a Function, which a method that needs something OF_A_GRAPH has as a Model: `check_needs` sees to it
)
PLANE = ("channel", "height", "width")
Cost: TypeAlias = Literal["one pass", "tens of passes", "hundreds of passes", "thousands of passes"]

MethodName: TypeAlias = str
_methods: dict[MethodName, type[Method]] = {}

MOST_HELD = 100  # by one method, those that these hold counted
_held: ContextVar[Iterator[int] | None] = ContextVar("held", default=None)


class Method(BaseModel):
    """A configured explanation method: a value that is hashable, comparable and serialisable.

    A subclass lives in a file of its own, whose stem is the method's API name; it sets the class variables below, its
    fields are its parameters, and it reaches the engine only inside `explain`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    family: ClassVar[str]
    kind: ClassVar[Kind] = "attribution"
    citation: ClassVar[str]
    question: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    takes_input: ClassVar[bool] = True
    takes_target: ClassVar[bool] = True
    places: ClassVar[bool] = False  # whether each place of the input has one number, whatever its channels
    one_input: ClassVar[str | None] = None  # what it does that several inputs cannot be given to, in words
    two_inputs: ClassVar[bool] = False  # whether it explains what two inputs have in common
    cost: ClassVar[Cost] = "one pass"
    reduced: ClassVar[bool] = False  # whether the model's products may be taken in less than float32 for it
    averages_background: ClassVar[bool] = False  # over its rows, where `fill` says so: the default for tables
    revision: ClassVar[int] = 1

    name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        stem = cls.__module__.rpartition(".")[2]
        cls.family = cls.__module__.rpartition(".")[0].rpartition(".")[2]
        cls.__annotations__["name"] = Literal[stem]
        cls.name = stem
        for verb in {"explain", "refuse"} & vars(cls).keys():
            setattr(cls, verb, blaming(vars(cls)[verb]))
        _methods[stem] = cls

    def explain(self, model: Asked, batch: Batch) -> Result:
        """Explain every row of the batch; the rows of the Result are the rows of the batch."""
        raise NotImplementedError

    def refuse(self, model: Asked) -> None:
        """Raise MethodNotApplicable, naming the node and the reason, where this model cannot be explained so."""

    def check_needs(self, model: Function) -> None:
        """Raise MethodNotApplicable where the model is but a function, and this needs more of it."""
        if needed := sorted(self.needs & OF_A_GRAPH):
            self.graph_of(model, " and ".join(NEEDED[need] for need in needed))

    def graph_of(self, model: Function, needed: str) -> Model:
        """The same model, which has a graph; raises MethodNotApplicable for one that is but a function."""
        from workers.engine.model.model import Model

        if isinstance(model, Model):
            return model
        raise MethodNotApplicable(
            f"{self.name} needs {needed}, and {model.card.name} is computed on another server, which gives its outputs "
            "for inputs and nothing else",
            pointer="/method",
            instead=methods("occlusion", "kernel_shap", "shapley_sampling", "lime"),
        )

    def check_inputs(self, model: Function) -> None:
        """Raise MethodNotApplicable, naming the input at fault, where the model takes several and this takes one."""
        parts = model.card.input.parts
        if self.one_input is None or not parts:
            return
        held = next((part for part in parts if part.held and not model.card.named[part.name].held), None)
        fault = held or max(parts, key=lambda part: len(model.card.named[part.name].shape) < len(PLANE))
        raise MethodNotApplicable(
            f"{self.name} {self.one_input}, and this model takes {', '.join(model.card.named)}, of which {fault.name} "
            f"({model.card.named[fault.name].kind} of the shape {list(model.card.named[fault.name].shape)}) is none",
            pointer="/method",
            instead=ANY_FUNCTION if self.kind != "scores" else methods("pixel_flipping", "sensitivity_n"),
        )

    def check_walk(self, model: Function) -> None:
        """Raise MethodNotApplicable where it would walk back to an input of tokens, naming where it may end instead."""
        from workers.engine.graph.embeddings import check_slope
        from workers.engine.model.model import Model

        if self.inner() or not isinstance(model, Model):
            return  # those that it holds walk
        ends = (getattr(self, field, None) for field in ("to", "layer"))
        if self.takes_input and self.needs & {"gradients", "graph"} and all(end in (None, "input") for end in ends):
            check_slope(model.folded)

    def passes(self, at: Extent, /) -> int:  # noqa: ARG002  # what overrides it reads it
        """How many passes of one row through the model `at` a job takes: what the work is estimated by.

        A pass is forward, with the way back where there is one. What is shared by many jobs is not counted: results of
        held methods, which are kept once computed.
        """
        return 1

    def inner(self) -> tuple[Method, ...]:
        """The methods held in fields, alone or in a tuple."""
        fields = (getattr(self, name) for name in type(self).model_fields)
        held = (one for value in fields for one in (value if isinstance(value, tuple) else (value,)))
        return tuple(one for one in held if isinstance(one, Method))

    def computed_in(self, asked: Precision) -> Precision:
        """The precision asked for, or float32 where this, or a method that it holds, cannot do with less."""
        able = type(self).reduced and all(held.computed_in(asked) == asked for held in self.inner())
        return asked if able else FULL

    def of_places(self) -> bool:
        """Whether it, or what it holds, gives each place of the input one number."""
        return self.places or any(held.of_places() for held in self.inner())

    def speaks_of(self, model: Asked) -> frozenset[str] | None:
        """The names of the inputs that its attribution tells of, and all that it holds; None where it is every one."""
        told = [names for held in self.inner() if (names := held.speaks_of(model)) is not None]
        return frozenset.intersection(*told) if told else None

    def suited(self, spec: InputSpec) -> Self:
        """The method as its default is for such inputs: where there is a background, what averages over one does so."""

        def inside(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(inside(one) for one in value)
            return value.suited(spec) if isinstance(value, Method) else value

        fields = {name: getattr(self, name) for name in type(self).model_fields}
        found = {name: inside(value) for name, value in fields.items()}
        if self.averages_background and spec.background_rows and "fill" not in self.model_fields_set:
            found["fill"] = "background"
        changed = {name: value for name, value in found.items() if value != fields[name]}
        return self.model_copy(update=changed) if changed else self

    def to_json(self) -> dict[str, Any]:
        """Every parameter, defaults filled in, ready for JSON."""
        return self.model_dump(mode="json")

    def revisions(self) -> list[int]:
        """The revision of this method and of those it holds: part of a job's id.

        One more where a probability is watched, which of a segmentation was a sum over its places and is now the mean;
        and where texts are cut by word or token, beside which pictures were cut by quickshift and now are by slic.
        """
        own = self.revision + (getattr(self, "score", None) == "probability")
        own += getattr(self, "segments", None) in ("word", "token")
        return [own, *(r for held in self.inner() for r in held.revisions())]


class _AnyMethod:
    """Marks a field that takes any method, by name or with parameters."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        named = {"type": "object", "required": ["name"], "properties": {"name": {"enum": sorted(_methods)}}}
        return {"title": "Method", "anyOf": [{"enum": sorted(_methods)}, named]}


def parse_method(value: object) -> Method:
    """A configured method from its name, or from a mapping with `name` and parameters.

    Raises UnknownMethod (names those there are) and InvalidParameter (names the first wrong parameter, or says that it
    holds more than MOST_HELD others).
    """
    if isinstance(value, Method):
        return value
    if (held := _held.get()) is None:
        outermost = _held.set(count(1))
        try:
            return _parsed(value)
        finally:
            _held.reset(outermost)
    if next(held) > MOST_HELD:
        raise InvalidParameter(
            f"a method holds at most {MOST_HELD} others, those that they hold counted; ask about fewer at once",
            pointer="/method",
        )
    return _parsed(value)


def _parsed(value: object) -> Method:
    raw = {"name": value} if isinstance(value, str) else value
    if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str):
        raise InvalidParameter("a method is a name, or an object with a name and parameters", pointer="/method")
    return method_type(cast(str, raw["name"])).model_validate(dict(raw))


def method_type(name: str) -> type[Method]:
    """The class of the method of that name; raises UnknownMethod."""
    if name not in _methods:
        raise UnknownMethod(f"there is no such method; {meant(name, sorted(_methods))}", pointer="/method")
    return _methods[name]


def _validated(value: object) -> Method:
    """As `parse_method`, but raising what pydantic gathers into one report."""
    try:
        return parse_method(value)
    except (UnknownMethod, InvalidParameter) as error:
        raise ValueError(error.detail) from None


AnyMethod = Annotated[
    Method,
    BeforeValidator(_validated),
    PlainSerializer(lambda method: method.to_json()),
    _AnyMethod,
]

SpatialLayer = Annotated[
    str | None,
    Field(
        max_length=300,
        description="The layer whose channels are mapped; by default the last spatial one of each input.",
    ),
]
SignalStart = Annotated[
    Literal["one", "score"],
    Field(
        description="What the signal starts from at the target: one, as a gradient does, or the target's own value, as "
        "S2 A.2 has it."
    ),
]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="Seed of the random draws; the same seed, the same numbers.")]


__all__ = [
    "AnyMethod",
    "Cost",
    "DatasetName",
    "Extent",
    "Kind",
    "Method",
    "ModelName",
    "Need",
    "Seed",
    "SignalStart",
    "SpatialLayer",
    "ValidationError",
    "method_type",
    "parse_method",
    "with_datasets",
    "with_models",
]
