"""The tables of an archive's tensors: each must lie within the bytes of its entry, and none is a pickle."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator

from workers.explanation.errors import InvalidFolder, PickledPayload
from workers.models.archive.schema import Code, Part, Qualified, TensorMeta

MAX_TENSORS = 100_000
MAX_ELEMENTS = 2**40
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2} | {
    28: 2, 29: 1, 30: 1, 31: 1, 32: 1, 33: 1, 34: 4, 35: 8
}  # fmt: skip  # of an element, by torch's number of the type
STRIDED = 7


def _known(code: int) -> int:
    if code not in BYTES:
        raise ValueError("there is no such type")
    return code


class PlainMeta(TensorMeta):
    """A tensor of plain sizes in plain memory."""

    dtype: Annotated[Code, AfterValidator(_known)]

    @field_validator("sizes", "strides", "storage_offset")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        numbers = [size.as_int for size in (value if isinstance(value, list) else [value])]
        if not all(number is not None and 0 <= number <= MAX_ELEMENTS for number in numbers):
            raise ValueError(f"each should be a whole number from 0 to {MAX_ELEMENTS}")
        return value

    def extent(self) -> int:
        """The bytes of its storage that it reaches."""
        sizes = [size.as_int or 0 for size in self.sizes]
        strides = [stride.as_int or 0 for stride in self.strides]
        if len(sizes) != len(strides):
            raise ValueError("it has more sizes than strides, or fewer")
        if 0 in sizes:
            return 0
        last = (self.storage_offset.as_int or 0) + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        return (last + 1) * BYTES[self.dtype]


class Payload(Part):
    path_name: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_]*$")]
    is_param: bool
    use_pickle: bool
    tensor_meta: PlainMeta


class Table(Part):
    config: Annotated[dict[Qualified, Payload], Field(max_length=MAX_TENSORS)]


def check_table(table: Any, directory: str, entry: str, sizes: dict[str, int], where: str) -> Table:
    """The table as it was understood; `sizes` are of the archive's entries, in bytes.

    Raises InvalidFolder and PickledPayload, naming the tensor.
    """
    tensors = table.get("config") if isinstance(table, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(meta, dict) for meta in tensors.values()):
        raise InvalidFolder(f"{where}: its entry {entry} has no table of tensors")
    for tensor, meta in tensors.items():
        name = f"{directory}{meta.get('path_name')}"
        if meta.get("use_pickle") is not False:
            raise pickled(where, f"{name} (the tensor {tensor})")
        if name.count("/") != directory.count("/") or name not in sizes:
            raise InvalidFolder(f"{where}: its entry {name[:100]!r}, for the tensor {tensor[:100]!r}, is missing")
    try:
        checked = Table.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[-200:]
        raise InvalidFolder(f"{where}: its entry {entry} is wrong at {place}: {first['msg']}") from None
    for tensor, payload in checked.config.items():
        _check_extent(payload, sizes[directory + payload.path_name], f"{where}: the tensor {tensor[:100]!r}")
    return checked


def _check_extent(payload: Payload, size: int, what: str) -> None:
    meta = payload.tensor_meta
    try:
        extent = meta.extent()
    except ValueError as error:
        raise InvalidFolder(f"{what} is wrong: {error}") from None
    if extent > size or size % BYTES[meta.dtype]:
        raise InvalidFolder(f"{what} takes {extent} bytes of its entry, which has {size}")
    if meta.layout != STRIDED or meta.device.type == "meta":
        raise InvalidFolder(f"{what} is sparse or without values; a model's tensors should be dense")


def pickled(where: str, entry: str) -> PickledPayload:
    return PickledPayload(
        f"{where}: its entry {entry[:200]} could only be read by unpickling, which may run any code; "
        "export a model of plain tensors"
    )
