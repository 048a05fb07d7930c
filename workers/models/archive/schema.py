"""A serialised graph in the shape that torch writes (torch._export.serde.schema, major version 8), every part bounded.

What is not named here is dropped: free text of traces, guards, custom data. Pydantic hands on what it has understood.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from workers.models.archive import sizes

MAX_NODES = 200_000
MAX_LIST = 100_000
MAX_RANK = 64
WORD = 2**63
MANY = Field(max_length=MAX_LIST)

Name: TypeAlias = Annotated[str, Field(max_length=2000, pattern=r"^[A-Za-z0-9_]*$")]
Qualified: TypeAlias = Annotated[str, Field(max_length=2000, pattern=r"""^[^"'\\\n\r{}]*$""")]
Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
Int: TypeAlias = Annotated[int, Field(ge=-WORD, lt=WORD)]
Code: TypeAlias = Annotated[int, Field(ge=0, le=99)]  # of an enumeration
Float: TypeAlias = Annotated[float | Literal["Infinity", "-Infinity", "NaN"], Field(union_mode="left_to_right")]
Symbol: TypeAlias = Annotated[str, AfterValidator(sizes.symbol)]
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "privateuseone", "meta")


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class Union(BaseModel):
    """One of its fields, `{"as_int": 3}`."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
    refused: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError("it should be a table of one key")
        (key,) = value
        if key in cls.refused:
            raise ValueError(f"{key}: {cls.refused[key]}")
        if value[key] is None:
            raise ValueError(f"{key} should have a value")
        return value


class Hint(Union):
    as_int: Int | None = None
    as_bool: bool | None = None
    as_float: Float | None = None


class Expression(Part):
    expr_str: Annotated[str, AfterValidator(sizes.normal)]
    hint: Hint | None = None


class SymInt(Union):
    as_int: Int | None = None
    as_expr: Expression | None = None


class SymFloat(Union):
    as_float: Float | None = None
    as_expr: Expression | None = None


class SymBool(Union):
    as_bool: bool | None = None
    as_expr: Expression | None = None


class Device(Part):
    type: Literal[DEVICES]  # type: ignore[valid-type]
    index: Annotated[int, Field(ge=0, le=255)] | None = None


class TensorMeta(Part):
    dtype: Code
    sizes: Annotated[list[SymInt], Field(max_length=MAX_RANK)]
    requires_grad: bool
    device: Device
    strides: Annotated[list[SymInt], Field(max_length=MAX_RANK)]
    storage_offset: SymInt
    layout: Code


class TensorName(Part):
    name: Name


class SymIntName(Union):
    as_int: Int | None = None
    as_name: Name | None = None


class SymFloatName(Union):
    as_float: Float | None = None
    as_name: Name | None = None


class SymBoolName(Union):
    as_bool: bool | None = None
    as_name: Name | None = None


class OptionalTensor(Union):
    as_tensor: TensorName | None = None
    as_none: bool | None = None


class Complex(Part):
    real: Float
    imag: Float


_NO_OBJECTS = "a custom object, which only code could make, is not taken"


class Value(Union):
    """What a signature names: a tensor, a size, or a plain value."""

    refused: ClassVar[dict[str, str]] = {"as_custom_obj": _NO_OBJECTS, "as_operator": "an operator is no value"}
    as_none: bool | None = None
    as_tensor: TensorName | None = None
    as_int: Int | None = None
    as_float: Float | None = None
    as_bool: bool | None = None
    as_string: Text | None = None
    as_sym_int: SymIntName | None = None
    as_sym_float: SymFloatName | None = None
    as_sym_bool: SymBoolName | None = None


class Argument(Value):
    """What a node is called with, and gives."""

    as_tensors: Annotated[list[TensorName], MANY] | None = None
    as_optional_tensors: Annotated[list[OptionalTensor], MANY] | None = None
    as_optional_tensor: OptionalTensor | None = None
    as_nested_tensors: Annotated[list[Annotated[list[TensorName], MANY]], MANY] | None = None
    as_ints: Annotated[list[Int], MANY] | None = None
    as_floats: Annotated[list[Float], MANY] | None = None
    as_bools: Annotated[list[bool], MANY] | None = None
    as_strings: Annotated[list[Text], MANY] | None = None
    as_sym_ints: Annotated[list[SymIntName], MANY] | None = None
    as_sym_floats: Annotated[list[SymFloatName], MANY] | None = None
    as_sym_bools: Annotated[list[SymBoolName], MANY] | None = None
    as_scalar_type: Code | None = None
    as_memory_format: Code | None = None
    as_layout: Code | None = None
    as_device: Device | None = None
    as_complex: Complex | None = None
