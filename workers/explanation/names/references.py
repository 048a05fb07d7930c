"""Parameters that name a dataset or a model, and their replacement by digests, which is what a job's id is of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar, cast

from pydantic import AfterValidator, BaseModel, Field

DigestOf: TypeAlias = Callable[[str, str], str]  # (name, pointer) -> digest
V = TypeVar("V")


class _DatasetName(str):
    """Text that names a dataset, told from other text by its type."""

    __slots__ = ()


class _ModelName(str):
    """Text that names a model."""

    __slots__ = ()


class _InputDigest(str):
    """The digest of an input that is sent along in a parameter."""

    __slots__ = ()


DatasetName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="A dataset, by its digest or its name.",
        json_schema_extra={"format": "dataset"},
    ),
    AfterValidator(_DatasetName),
]
ModelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=300,
        description="Another served model, by its digest or its name.",
        json_schema_extra={"format": "model"},
    ),
    AfterValidator(_ModelName),
]
InputDigest = Annotated[
    str,
    Field(pattern="^sha256:[0-9a-f]{64}$", description="An input that is stored."),
    AfterValidator(_InputDigest),
]


def with_datasets(value: V, digest_of: DigestOf, pointer: str = "/method") -> V:
    """A method with every dataset that it names, at any depth, replaced by `digest_of(name, pointer)`."""
    return cast(V, _replaced(value, _DatasetName, digest_of, pointer))


def with_models(value: V, digest_of: DigestOf, pointer: str = "/method") -> V:
    """The same of every model that it names."""
    return cast(V, _replaced(value, _ModelName, digest_of, pointer))


def own_inputs(value: object, pointer: str = "/method") -> dict[str, str]:
    """The digests of all inputs that a method has in its parameters, at any depth, with where each is."""
    return _found(value, _InputDigest, pointer)


def own_datasets(value: object, pointer: str = "/method") -> dict[str, str]:
    """The same of all datasets, as they are named there."""
    return _found(value, _DatasetName, pointer)


def own_models(value: object, pointer: str = "/method") -> dict[str, str]:
    """The same of all models."""
    return _found(value, _ModelName, pointer)


def _found(value: object, kind: type[str], pointer: str) -> dict[str, str]:
    found: dict[str, str] = {}

    def note(name: str, at: str) -> str:
        found.setdefault(name, at)
        return name

    _replaced(value, kind, note, pointer)
    return found


def _replaced(value: Any, kind: type[str], digest_of: DigestOf, pointer: str) -> Any:
    if isinstance(value, kind):
        return kind(digest_of(value, pointer))
    if isinstance(value, tuple):
        return tuple(_replaced(one, kind, digest_of, f"{pointer}/{i}") for i, one in enumerate(value))
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        found = {name: _replaced(one, kind, digest_of, f"{pointer}/{name}") for name, one in fields.items()}
        return value.model_copy(update={name: one for name, one in found.items() if one != fields[name]})
    return value
