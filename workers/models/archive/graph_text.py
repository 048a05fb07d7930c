"""The graph of an archive, checked before torch sees it; what torch gets is written anew from what was understood.

Torch's reader evaluates sizes, imports what a tree names, compiles names and guards, looks operators up in Python, and
calls them: docs/adr/0009 lists each place. So every part is held to its form, and what has none is left out.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationError, model_validator

from workers.explanation.errors import InvalidFolder
from workers.models.archive.operators import allowed, cleared, is_region
from workers.models.archive.schema import (
    MANY,
    MAX_LIST,
    Argument,
    Int,
    Name,
    Part,
    Qualified,
    Symbol,
    SymBool,
    SymFloat,
    SymInt,
    TensorMeta,
    TensorName,
    Text,
    Union,
    Value,
)
from workers.models.archive.trees import normal_tree

MAX_NODES = 200_000
ENTRY = "models/model.json"
STACK = "nn_module_stack"  # which module each node came from: the one trace that is read, for the names of layers
CUSTOM, DROPPED = "custom", "attention_dropout"  # where torch keeps what an export noted at a node, and our note
BRACKETS = {"[": 1, "(": 1, "]": -1, ")": -1}


class UnknownOperator(ValueError):
    """A target in the form of an operator, which a graph may not call."""


def _target(text: str) -> str:
    if not allowed(text):
        known = text.startswith("torch.ops.") and text.replace(".", "_").isidentifier()
        raise UnknownOperator if known else ValueError("it is no operator")
    return text


def _traces(metadata: dict[str, str]) -> dict[str, str]:
    """The stack of modules, `key,path,type` of each with `;` between; the rest is left out."""
    noted, stack = _notes(metadata.get(CUSTOM)), metadata.get(STACK)
    if not stack:
        return noted
    calls = [_split(call) for call in stack.split(";")]
    if not all(len(call) == 3 for call in calls):
        raise ValueError(f"its {STACK} is no list of key, path and type")
    return {**noted, STACK: ";".join(",".join(call) for call in calls)}


def _notes(custom: str | None) -> dict[str, str]:
    """Of what an export noted at a node the share of an attention's weights that training drops."""
    try:
        noted = json.loads(custom) if custom else {}
    except (ValueError, RecursionError):
        return {}
    rate = noted.get(DROPPED) if isinstance(noted, dict) else None
    return {CUSTOM: json.dumps({DROPPED: rate})} if isinstance(rate, float) and 0 < rate < 1 else {}


def _split(call: str) -> list[str]:
    """At its commas outside of brackets."""
    parts, depth = [""], 0
    for letter in call:
        depth += BRACKETS.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


Traces: TypeAlias = Annotated[dict[Text, Annotated[str, Field(max_length=1_000_000)]], AfterValidator(_traces)]


class Region(Part):
    name: Name
    graph: Graph


class InnerArgument(Argument):
    """What a node is called with: a graph too."""

    as_graph: Region | None = None


class NamedArgument(Part):
    name: Name
    arg: InnerArgument
    kind: Literal[0, 1, 2] | None = None


class Node(Part):
    target: Annotated[str, Field(max_length=200), AfterValidator(_target)]
    inputs: Annotated[list[NamedArgument], MANY]
    outputs: Annotated[list[Argument], MANY]
    metadata: Traces
    is_hop_single_tensor_return: bool | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        regions = [argument for argument in self.inputs if argument.arg.as_graph is not None]
        if len(regions) != is_region(self.target):
            raise ValueError("a graph within the graph belongs to a region without gradients or mixed precision alone")
        if (twin := cleared(self.target)) != self.target:
            self.inputs = [argument for argument in self.inputs if argument.name != "memory_format"]
            self.target = twin
        return self


class Graph(Part):
    inputs: Annotated[list[Value], MANY]
    outputs: Annotated[list[Value], MANY]
    nodes: Annotated[list[Node], Field(max_length=MAX_NODES)]
    tensor_values: Annotated[dict[Name, TensorMeta], Field(max_length=4 * MAX_NODES)]
    sym_int_values: Annotated[dict[Name, SymInt], MANY]
    sym_bool_values: Annotated[dict[Name, SymBool], MANY]
    sym_float_values: Annotated[dict[Name, SymFloat], MANY] = Field(default_factory=dict)
    is_single_tensor_return: bool = False
    custom_obj_values: Annotated[dict[str, Any], Field(max_length=0)] = Field(default_factory=dict)


class UserInput(Part):
    arg: Value


class Parameter(Part):
    arg: TensorName
    parameter_name: Qualified


class Buffer(Part):
    arg: TensorName
    buffer_name: Qualified
    persistent: bool = True


class TensorConstant(Part):
    arg: TensorName
    tensor_constant_name: Qualified


class UserMutation(Part):
    arg: TensorName
    user_input_name: Qualified


class ConstantValue(Union):
    as_none: bool | None = None
    as_int: Int | None = None
    as_float: float | None = None
    as_string: Text | None = None
    as_bool: bool | None = None


class ConstantInput(Part):
    name: Name
    value: ConstantValue


NO_OBJECTS = "a custom object, which only code could make, is not taken"


class InputSpec(Union):
    refused: ClassVar[dict[str, str]] = {"custom_obj": NO_OBJECTS, "token": NO_OBJECTS}
    user_input: UserInput | None = None
    parameter: Parameter | None = None
    buffer: Buffer | None = None
    tensor_constant: TensorConstant | None = None
    constant_input: ConstantInput | None = None


class OutputSpec(Union):
    refused: ClassVar[dict[str, str]] = {"token": NO_OBJECTS}
    user_output: UserInput | None = None
    buffer_mutation: Buffer | None = None
    parameter_mutation: Parameter | None = None
    user_input_mutation: UserMutation | None = None


class Signature(Part):
    input_specs: Annotated[list[InputSpec], MANY]
    output_specs: Annotated[list[OutputSpec], MANY]


class CallSignature(Part):
    inputs: Annotated[list[Value], MANY]
    outputs: Annotated[list[Value], MANY]
    in_spec: Annotated[str, AfterValidator(normal_tree)]
    out_spec: Annotated[str, AfterValidator(normal_tree)]
    forward_arg_names: Annotated[list[Name], MANY] | None = None


class Call(Part):
    fqn: Qualified
    signature: CallSignature | None = None


class GraphModule(Part):
    graph: Graph
    signature: Signature
    module_call_graph: Annotated[list[Call], MANY]


class Range(Part):
    min_val: Int | None
    max_val: Int | None


class SchemaVersion(Part):
    major: Annotated[int, Field(ge=0, le=1000)]
    minor: Annotated[int, Field(ge=0, le=1000)]


class Program(Part):
    graph_module: GraphModule
    opset_version: Annotated[dict[Name, Annotated[int, Field(ge=0, le=1000)]], Field(max_length=100)]
    range_constraints: Annotated[dict[Symbol, Range], Field(max_length=MAX_LIST)]
    schema_version: SchemaVersion
    verifiers: Annotated[list[Literal["ATEN", "TRAINING", "EDGE", ""]], Field(max_length=10)] = Field(
        default_factory=list
    )


def check_program(program: Any, where: str) -> dict[str, Any]:
    """The program as it was understood; raises InvalidFolder, naming the text, the operator or the place."""
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise InvalidFolder(f"{where}: its entry {ENTRY} has no graph")
    try:
        return Program.model_validate(program).model_dump(mode="python", exclude_unset=True, warnings=False)
    except ValidationError as error:
        raise InvalidFolder(f"{where}: {_sentence(error)}") from None
    except RecursionError:
        raise InvalidFolder(f"{where}: the graph is nested too deep") from None


def _sentence(error: ValidationError) -> str:
    """What the first mistake is: a text that could be run, an operator, or a part out of its form."""
    first = error.errors(include_url=False)[0]
    key = next((part for part in reversed(first["loc"]) if isinstance(part, str) and part != "[key]"), "")
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UnknownOperator):
        return (
            f"the graph calls the operator {first['input'][:80]}, which is not among those that a model may call "
            "(docs/operators.md); export the model with others"
        )
    why = str(cause) if cause else first["msg"]
    if isinstance(first["input"], str):
        return (
            f"the graph's {key} {first['input'][:80]!r} is none that torch.export writes; "
            f"it could be run as code ({why})"
        )
    return f"its entry {ENTRY} is wrong at {'.'.join(map(str, first['loc']))[-120:]}: {why}"
