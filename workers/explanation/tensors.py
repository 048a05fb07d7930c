"""Tensors from clients' bytes and JSON, checked before anything large is made; digests of inputs."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors.numpy import load, save

from workers.explanation.errors import InputTooLarge, InvalidTensor
from workers.explanation.file_types import describe_file

DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
)  # fmt: skip
SAFETENSORS_DTYPES = ("F16", "BF16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
# Of dtypes that are not read, by NumPy's letter of the kind.
UNREAD = {
    "O": "Python objects, which only unpickling could read; make it an array of numbers",
    "c": "complex numbers; make their real and imaginary parts numbers of their own",
    "U": "texts; a model takes numbers",
    "S": "bytes; a model takes numbers",
    "M": "dates; make them numbers",
    "m": "times; make them numbers",
    "V": "records, or numbers that .npy has no name for, as bfloat16; make it float32",
    "f": "floats beyond 64 bits; make it float64",
}
MAGIC = b"\x93NUMPY"
MAX_AXES = 8
MAX_BYTES = 64 * 2**20
MAX_HEADER = 2**20
MOST_NUMBERS = MAX_BYTES // 4  # of a tensor in JSON


def decode_npy(data: bytes, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """The array of a .npy file, in native byte order; nothing is unpickled. Raises InvalidTensor, InputTooLarge."""
    _bounded(len(data), max_bytes)
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = read_header(stream)
    except Exception:
        what = describe_file(data) if not data.startswith(MAGIC) else "its header is damaged, or cut off"
        _refuse(f"the bytes are no .npy array{what and ': '}{what or ''}; write one with numpy.save(file, array, "
                "allow_pickle=False)")  # fmt: skip
    if (wrong := unread(dtype)) is not None:
        _refuse(f".npy: {wrong}", "/dtype")
    _check(shape, dtype.name)
    body = data[stream.tell() :]
    if len(body) != math.prod(shape) * dtype.itemsize:
        _refuse(f".npy: the shape {list(shape)} of {dtype.name} takes {math.prod(shape) * dtype.itemsize} bytes; "
                f"{len(body)} follow the header")  # fmt: skip
    array = np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))


def encode_npy(array: NDArray[Any]) -> bytes:
    """The bytes of a .npy file."""
    out = io.BytesIO()
    npy.write_array(out, _dense(array), allow_pickle=False)
    return out.getvalue()


def encode_safetensors(arrays: Mapping[str, NDArray[Any]], said: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file with `said` in its header: of arrays in any memory order, the only way to one.

    The library takes an array's memory as it lies, so what is a view, or in another order, is copied before.
    """
    return save({name: _dense(array) for name, array in arrays.items()}, None if said is None else dict(said))


def decode_safetensors(data: bytes, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """The one tensor of a safetensors file. Raises InvalidTensor, InputTooLarge."""
    _bounded(len(data), max_bytes)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        _refuse(f"the bytes are no safetensors file, or its header is longer than {MAX_HEADER} bytes")
    try:
        header = json.loads(data[8 : 8 + length])
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        dtypes = [entry["dtype"] for entry in entries]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        _refuse("the header of the safetensors file is damaged")
    if len(entries) != 1:
        _refuse(f"the safetensors file holds {len(entries)} tensors; an input is exactly one: save it alone")
    if dtypes[0] not in SAFETENSORS_DTYPES:
        _refuse(f"safetensors: the dtype should be one of {', '.join(SAFETENSORS_DTYPES)}")
    if dtypes[0] == "BF16":  # NumPy has none; its bits are the upper half of a float32's
        entries[0]["dtype"] = "U16"
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + data[8 + length :]
    try:
        (array,) = load(data).values()
    except Exception:
        _refuse("the safetensors file is damaged or cut off: its header does not fit its bytes")
    _check(array.shape, array.dtype.name)
    return from_bfloat16(array) if dtypes[0] == "BF16" else array


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The values of these bits, to the last one."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def unread(dtype: np.dtype[Any]) -> str | None:
    """What is wrong with an array's dtype; None for those that are read."""
    if dtype.name in DTYPES:
        return None
    return f"it holds {UNREAD.get(dtype.kind, 'no numbers')} (its dtype should be one of {', '.join(DTYPES)})"


def from_json(value: Any, wanted: tuple[int, ...] | None = None, *, max_values: int = MOST_NUMBERS) -> NDArray[Any]:
    """The array of {"shape", "dtype", "data"}, data nested or flat.

    Its shape is compared with the `wanted` one, and its lists with its shape, before an array is made. Raises
    InvalidTensor, InputTooLarge.
    """
    if not isinstance(value, Mapping) or not {"shape", "data"} <= set(value) <= {"shape", "dtype", "data"}:
        _refuse('a tensor is an object {"shape": [..], "dtype": "float32", "data": [..]}')
    shape, dtype, data = value["shape"], value.get("dtype", "float32"), value["data"]
    axes = len(shape) if isinstance(shape, list | tuple) else MAX_AXES + 1
    if isinstance(shape, list | tuple) and axes > MAX_AXES:
        _refuse(f"shape should have at most {MAX_AXES} axes, each of at least 1", "/shape")
    if axes > MAX_AXES or not all(type(size) is int for size in shape):
        _refuse("shape should be a list of whole numbers", "/shape")
    if not isinstance(dtype, str):
        _refuse(f"dtype should be one of {', '.join(DTYPES)}", "/dtype")
    _check(tuple(shape), dtype)
    if math.prod(shape) > max_values:
        raise InputTooLarge(f"the tensor has more than the {max_values} values allowed", pointer="/input/tensor")
    if wanted is not None and tuple(shape) not in (wanted, (1, *wanted)):
        _refuse(f"the tensor has the shape {list(shape)}; the model takes {list(wanted)}")
    _check_lists(data, tuple(shape), dtype)
    try:
        given = np.asarray(data)
    except (ValueError, OverflowError):
        _refuse("data should hold numbers only", "/data")
    if given.dtype.kind not in "iufb":
        _refuse("data should hold numbers only", "/data")
    return _cast(given, np.dtype(dtype)).reshape(shape)


def _dense(array: NDArray[Any]) -> NDArray[Any]:
    """The same values in C order, little endian, of the same shape: `ascontiguousarray` would give 0 axes one."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """The same values as float32, C order; raises InvalidTensor where one is not finite, or beyond float32."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        _refuse("the tensor holds NaN, infinity or a value beyond float32; every value should be finite")
    return values


def digest_tensor(array: NDArray[Any]) -> str:
    """ "sha256:" and 64 hex digits over dtype, shape and bytes as float32: JSON and .npy of one tensor agree."""
    values = np.ascontiguousarray(array, dtype="<f4")
    head = f"float32 {list(array.shape)} ".encode()
    return "sha256:" + hashlib.sha256(head + values.tobytes()).hexdigest()


def digest_image(data: bytes) -> str:
    """ "sha256:" and 64 hex digits over the file's bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def first_lengths(lists: Any, most: int) -> tuple[int, ...]:
    """The length of the outermost list, of the first in it and so on, one more than `most` at the most."""
    found: list[int] = []
    while isinstance(lists, list | tuple) and len(found) <= most:
        found.append(len(lists))
        lists = lists[0] if lists else None
    return tuple(found)


def rows_of(data: Any, shape: Sequence[int]) -> list[list[Any]] | None:
    """The innermost lists of nested ones of exactly this shape; None where they are others, gone through no further."""
    rows: list[Any] = [data]
    for axis, size in enumerate(shape):
        if not all(isinstance(row, list | tuple) and len(row) == size for row in rows):
            return None
        if axis < len(shape) - 1:
            rows = [one for row in rows for one in row]
    return rows


def _check_lists(data: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Raises InvalidTensor where data is no list of numbers of this shape, nested or flat."""
    if not isinstance(data, list):
        _refuse("data should be a list of numbers, flat or nested as shape says", "/data")
    flat = math.prod(shape)
    rows = (rows_of(data, shape) if shape else None) or rows_of(data, (flat,))
    if rows is None:
        nested = bool(data) and isinstance(data[0], list)
        found = f"{len(data)} {'lists' if nested else 'values'}"
        _refuse(f"data holds {found}, and should be nested as its shape {list(shape)}, or flat with {flat} values; "
                "lists of one depth have one length", "/data")  # fmt: skip
    kinds = {bool, int, float} if dtype == "bool" else {int, float}
    if not all(set(map(type, row)) <= kinds for row in rows):
        _refuse("data should hold numbers only", "/data")


def _cast(given: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return given.astype(dtype)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    whole = given.dtype.kind in "iub" or bool((given == np.floor(given)).all())
    if not whole or given.min() < low or given.max() > high:
        _refuse(f"data holds values that are not of dtype {dtype.name}", "/data")
    return given.astype(dtype)


def _check(shape: tuple[int, ...], dtype: str) -> None:
    if dtype not in DTYPES:
        _refuse(f"dtype should be one of {', '.join(DTYPES)}", "/dtype")
    if len(shape) > MAX_AXES or any(isinstance(size, bool) or size < 1 for size in shape):
        _refuse(f"shape should have at most {MAX_AXES} axes, each of at least 1", "/shape")


def _bounded(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InputTooLarge(f"the tensor has {size} bytes; {max_bytes} are allowed", pointer="/input")


def _refuse(detail: str, pointer: str = "") -> NoReturn:
    raise InvalidTensor(detail, pointer=f"/input/tensor{pointer}")
