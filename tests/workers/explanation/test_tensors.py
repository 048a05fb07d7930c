"""Tensors from bytes and JSON: what is right is read to the bit, what is wrong is refused before memory is taken."""

from __future__ import annotations

import io
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from safetensors.numpy import save

from workers.explanation.errors import InputTooLarge, InvalidTensor
from workers.explanation.tensors import (
    DTYPES,
    as_float32,
    decode_npy,
    decode_safetensors,
    encode_npy,
    from_json,
)

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def header(shape: str, descr: str = "'<f4'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@settings(deadline=None)
@given(arrays.arrays(st.sampled_from(DTYPES), arrays.array_shapes(max_dims=4)))
def test_npy_goes_there_and_back(array: NDArray[Any]) -> None:
    back = decode_npy(encode_npy(array))
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    assert back.shape == array.shape


@pytest.mark.parametrize("array", [VALUES.astype(">f4"), np.asfortranarray(VALUES), VALUES.astype(">i2")])
def test_other_orders_of_bytes_and_axes_are_read(array: NDArray[Any]) -> None:
    out = io.BytesIO()
    np.save(out, array)
    back = decode_npy(out.getvalue())
    assert back.dtype.isnative
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, VALUES)


@pytest.mark.parametrize("shape", ["(100000, 100000)", "(1, 2)", "(7,)", f"({2**62}, 4)", f"({10**30},)"])
def test_a_header_that_promises_more_or_less_than_follows_is_refused(shape: str) -> None:
    with pytest.raises(InvalidTensor, match="follow the header"):
        decode_npy(header(shape) + b"\0" * 16)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x93NUMPY", b"hello", header("(4,"), header("__import__('os').getcwd()"), header("(2, -2)"),
        header("(0, 5)"), header("(4,)", "'|O'"), header("(4,)", "[('a', '<f4')]"), header("(2,)", "'<c8'"),
        header("(2,)", "'<M8[s]'"), header("(1,)", "'<U4'"), header("(1, 1, 1, 1, 1, 1, 1, 1, 4)"),
        b"\x93NUMPY\x03\x00" + header("(4,)")[8:], b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    ],
)  # fmt: skip
def test_what_is_no_npy_of_numbers_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTensor):
        decode_npy(data + b"\0" * 16)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    out = io.BytesIO()
    np.save(out, np.array([Bomb(target)], dtype=object), allow_pickle=True)
    for data in (out.getvalue(), pickle.dumps(Bomb(target))):
        for decode in (decode_npy, decode_safetensors):
            with pytest.raises(InvalidTensor):
                decode(data)
    assert not target.exists()


def test_the_byte_limit_is_the_callers() -> None:
    data = encode_npy(VALUES)
    decode_npy(data, max_bytes=len(data))
    for decode in (decode_npy, decode_safetensors):
        with pytest.raises(InputTooLarge, match=f"{len(data) - 1} are allowed"):
            decode(data, max_bytes=len(data) - 1)


def test_safetensors_with_one_tensor_is_read() -> None:
    np.testing.assert_array_equal(decode_safetensors(save({"x": VALUES}, {"made": "here"})), VALUES)


def damaged(entry: Any) -> bytes:
    text = json.dumps({"x": entry}).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 16


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (save({"a": VALUES, "b": VALUES}), "holds 2 tensors"),
        (save({}), "holds 0 tensors"),
        (b"abc", "no safetensors file"),
        (struct.pack("<Q", 2**40) + b"{}", "no safetensors file, or its header is longer"),
        (struct.pack("<Q", 4) + b"null", "damaged"),
        (damaged({"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}), "dtype should be one of F16"),
        (damaged({"dtype": "F32", "shape": [400], "data_offsets": [0, 1600]}), "header does not fit"),
        (damaged({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}), "header does not fit"),
        (damaged({"shape": [4]}), "damaged"),
        (damaged(["F32"]), "damaged"),
    ],
)
def test_wrong_safetensors_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(InvalidTensor, match=told):
        decode_safetensors(data)


SIX = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
LIES: list[Any] = [
    {"x": {**SIX, "dtype": "F64"}},
    {"x": {**SIX, "dtype": "F16"}},
    {"x": {**SIX, "dtype": ["F32"]}},
    {"x": {**SIX, "shape": [-2, -3]}},
    {"x": {**SIX, "shape": [2.0, 3]}},
    {"x": {**SIX, "shape": [2**32, 2**32, 6]}},
    {"x": {**SIX, "shape": [1] * 20_000 + [2, 3]}},
    {"x": {**SIX, "shape": None}},
    {"x": {**SIX, "data_offsets": [24, 0]}},
    {"x": {**SIX, "data_offsets": [-24, 0]}},
    {"x": {**SIX, "data_offsets": [0, 2**64]}},
    {"x": {**SIX, "data_offsets": [0, 24, 1]}},
    {"x": SIX, "y": SIX},
    {"__metadata__": {"a": 1}, "x": SIX},
    [],
    None,
]


@pytest.mark.parametrize("header", LIES)
def test_safetensors_whose_header_lies_are_refused(header: Any) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(InvalidTensor, match="safetensors"):
        decode_safetensors(struct.pack("<Q", len(text)) + text + VALUES.tobytes())


@pytest.mark.parametrize(
    "text",
    [
        b'{"__metadata__": {}, "__metadata__": {}, "x": ' + json.dumps(SIX).encode() + b"}",
        b'{"x": {"dtype": "F32", "shape": [6], "shape": [2, 3], "data_offsets": [0, 24]}}',
        b'{"x": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 24]}}',
        b'{"x": ' * 10_000 + b"1" + b"}" * 10_000,
        b'{"__metadata__": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_safetensors_whose_header_is_odd_text_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidTensor, match="safetensors"):
        decode_safetensors(struct.pack("<Q", len(text)) + text + VALUES.tobytes())


def test_bfloat16_is_read_to_the_last_bit() -> None:
    values = np.array([1.5, -2.0, 3e38, 2.0**-130], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    data = save({"x": bits}).replace(b'"U16"', b'"BF16"')
    length = int.from_bytes(data[:8], "little")
    found = decode_safetensors(struct.pack("<Q", length + 1) + data[8:])
    np.testing.assert_array_equal(found.view(np.uint32), bits.astype(np.uint32) << 16)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([1, None], object), "Python objects, which only unpickling could read"),
        (np.array([1 + 2j]), "complex numbers; make their real and imaginary parts"),
        (np.array(["seven"]), "texts"),
        (np.array([b"seven"]), "bytes"),
        (np.array(["2026-01-01"], "M8[D]"), "dates"),
        (np.array([1], "m8[s]"), "times"),
        (np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]), "records"),
        (np.array([b"ab"], "V2"), "as bfloat16; make it float32"),
        (np.array([1.0], np.longdouble), "floats beyond 64 bits"),
    ],
)
def test_arrays_of_other_kinds_are_told_what_they_hold(array: NDArray[Any], told: str) -> None:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    with pytest.raises(InvalidTensor, match=told):
        decode_npy(out.getvalue())


def test_truth_values_are_zeros_and_ones() -> None:
    wanted = np.array([True, False])
    for found in (
        decode_npy(encode_npy(wanted)),
        decode_safetensors(save({"x": wanted})),
        from_json({"shape": [2], "dtype": "bool", "data": [True, False]}),
        from_json({"shape": [2], "dtype": "bool", "data": [1, 0]}),
    ):
        np.testing.assert_array_equal(as_float32(found), [1, 0])
    with pytest.raises(InvalidTensor, match="not of dtype bool"):
        from_json({"shape": [2], "dtype": "bool", "data": [2, 0]})


@pytest.mark.parametrize("data", [[0, 1, 2, 3, 4, 5], [[0, 1, 2], [3, 4, 5]], [[0.0, 1, 2], [3, 4.0, 5]]])
def test_json_is_read_flat_or_nested(data: list[Any]) -> None:
    array = from_json({"shape": [2, 3], "data": data})
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VALUES)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([1, 2], ""),
        ({"shape": [2]}, ""),
        ({"shape": [2], "data": [1, 2], "more": 1}, ""),
        ({"shape": "12", "data": [1, 2]}, "/shape"),
        ({"shape": [True, 2], "data": [1, 2]}, "/shape"),
        ({"shape": [-1, 2], "data": [1, 2]}, "/shape"),
        ({"shape": [0], "data": []}, "/shape"),
        ({"shape": [1] * 9, "data": [1]}, "/shape"),
        ({"shape": [3], "data": [1, 2]}, "/data"),
        ({"shape": [4], "data": [[1, 2], [3, 4]]}, "/data"),
        ({"shape": [2, 2], "data": [[1, 2], [3]]}, "/data"),
        ({"shape": [2], "data": "ab"}, "/data"),
        ({"shape": [2], "data": ["1", "2"]}, "/data"),
        ({"shape": [2], "data": [1, None]}, "/data"),
        ({"shape": [2], "data": [True, False]}, "/data"),
        ({"shape": [2], "data": [1, 10**30]}, "/data"),
        ({"shape": [2], "dtype": "object", "data": [1, 2]}, "/dtype"),
        ({"shape": [2], "dtype": "complex64", "data": [1, 2]}, "/dtype"),
        ({"shape": [2], "dtype": 4, "data": [1, 2]}, "/dtype"),
        ({"shape": [2], "dtype": "uint8", "data": [1, 256]}, "/data"),
        ({"shape": [2], "dtype": "uint8", "data": [1, -1]}, "/data"),
        ({"shape": [2], "dtype": "int64", "data": [1, 1.5]}, "/data"),
    ],
)
def test_wrong_json_is_refused_at_its_place(value: Any, pointer: str) -> None:
    with pytest.raises(InvalidTensor) as caught:
        from_json(value)
    assert caught.value.pointer == f"/input/tensor{pointer}"


def test_json_of_too_many_values_is_refused_before_it_is_made() -> None:
    with pytest.raises(InputTooLarge, match="more than the 9 values"):
        from_json({"shape": [10], "data": []}, max_values=9)


def test_values_that_are_not_finite_in_float32_are_refused() -> None:
    np.testing.assert_array_equal(as_float32(VALUES.astype(np.float64)), VALUES)
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(InvalidTensor, match="finite"):
            as_float32(np.array([1.0, bad]))
