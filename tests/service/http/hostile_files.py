"""Hostile pictures, arrays and tensors, as bodies of their own."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

from tests.service.http.hostile_case import TOO_LARGE, Evil, Hostile, archive, sent


def picture(form: str, size: int = 64) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, form)
    return out.getvalue()


def png_of(width: int, height: int, depth: int = 8, *chunks: bytes) -> bytes:
    """A PNG that claims this size, and holds next to nothing."""
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = [_chunk(b"IHDR", head), *chunks, _chunk(b"IDAT", zlib.compress(bytes(1000))), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def images() -> Iterator[Hostile]:
    for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        whole = picture(form)
        for cut in (3, 12, len(whole) // 2):
            yield sent(f"{form} cut after {cut} bytes", whole[:cut], "image/png")
        yield sent(f"{form} with another magic", b"\0" * 8 + whole[8:], f"image/{form.lower()}")
    wide = {"PNG": png_of(100_000, 100_000), "PNG of one bit": png_of(60_000, 60_000, 1)}
    wide["PNG of no height"] = png_of(8, 0)
    wide["PNG as wide as can be"] = png_of(2**31 - 1, 2**31 - 1)
    gif, bmp = bytearray(picture("GIF")), bytearray(picture("BMP"))
    gif[6:10] = b"\xff" * 4
    bmp[18:26] = struct.pack("<ii", 50_000, 50_000)
    jpeg = bytearray(picture("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xf0\xff\xf0"
    wide |= {"GIF": bytes(gif), "BMP": bytes(bmp), "JPEG": bytes(jpeg), "PPM": b"P6 99999 99999 255\n"}
    for name, data in wide.items():
        yield sent(f"{name}: more pixels than bytes", data, "image/png", TOO_LARGE)
    text = _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200_000_000), 9)[:90_000])
    yield sent("PNG with a bomb in its text", png_of(3000, 3000, 8, text), "image/png", TOO_LARGE)
    yield sent("PNG with a wrong checksum", png_of(8, 8)[:30] + b"\0\0\0\0" + png_of(8, 8)[34:], "image/png")
    others = {
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(/etc/passwd) (r) file\n",
        "PDF": b"%PDF-1.7\n",
        "HTML": b"<script>alert(1)</script>",
        "XML bomb": b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>',
        "ICO": b"\0\0\1\0\1\0" + bytes(16),
        "PSD": b"8BPS" + bytes(22),
        "FLI": bytes(4) + b"\x11\xaf" + bytes(122),
        "nothing": b"",
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "a gzipped picture": zlib.compress(picture("PNG")),
        "an ELF": b"\x7fELF" + bytes(60),
    }
    for name, data in others.items():
        yield sent(f"{name} for a picture", data, "image/png")
    for protocol in range(6):
        yield sent(f"a pickle of protocol {protocol} for a picture", pickle.dumps(Evil(), protocol), "image/png")


def npy(header: str | bytes, data: bytes = bytes(256), version: bytes = b"\1\0", length: int | None = None) -> bytes:
    told = header.encode() if isinstance(header, str) else header
    size = len(told) if length is None else length
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", size) + told + data


def described(descr: str = "'<f4'", shape: str = "(1, 8, 8)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def arrays() -> Iterator[Hostile]:
    media = "application/x-npy"
    kinds = (
        "'|O'",
        "'<U4'",
        "'|S8'",
        "'<M8[s]'",
        "'<c8'",
        "'|V8'",
        "[('a', '<f4')]",
        "'<f4, <f4'",
        "'<g'",
        "None",
        "7",
    )
    for descr in kinds:
        yield sent(f"npy of dtype {descr}", npy(described(descr)), media)
    shapes = ("(1000000000000,)", "(-1, 8, 8)", "(1, 8, 9)", "(2147483648, 2147483648, 4)", "8", "None", "(1, 8, 8.0)")
    for shape in (*shapes, "()", "(0,)", "(" + "1, " * 100 + ")", "(True, 8, 8)", "(9" + "9" * 400 + ",)"):
        yield sent(f"npy of shape {shape[:24]}", npy(described(shape=shape)), media, TOO_LARGE)
    heads: dict[str, str | bytes] = {
        "of code": "__import__('os').system('false')\n",
        "of deep brackets": "(" * 5000 + "\n",
        "of no dict": "[]\n",
        "with a key too many": described()[:-2] + "'x': 1}\n",
        "with a key too few": "{'descr': '<f4', 'shape': (1, 8, 8)}\n",
        "of fortran_order 7": described(fortran="7"),
        "of bytes": b"\xff\xfe\xfd",
        "without an end": described()[:-4],
        "of nothing": "",
    }
    for name, head in heads.items():
        yield sent(f"npy with a header {name}", npy(head), media)
    yield sent("npy with a header longer than the file", npy(described(), length=60_000), media)
    yield sent("npy of version 2 with a header of 4 GB", npy(described(), version=b"\2\0", length=2**32 - 1), media)
    yield sent("npy of version 9", npy(described(), version=b"\x09\0"), media)
    yield sent("npy cut in its magic", b"\x93NUMPY", media)
    yield sent("npy with too little data", npy(described(), bytes(255)), media)
    for name, value in {"NaN": np.nan, "infinity": np.inf, "beyond float32": 1e300}.items():
        out = io.BytesIO()
        np.save(out, np.full((1, 8, 8), value, np.float64))
        yield sent(f"npy of {name}", out.getvalue(), media)
    for protocol in (0, 2, 5):
        yield sent(
            f"npy of a pickle of protocol {protocol}", npy(described("'|O'"), pickle.dumps(Evil(), protocol)), media
        )
        yield sent(f"a pickle of protocol {protocol} for npy", pickle.dumps(Evil(), protocol), media)
    yield sent("npz for npy", archive({"inputs.npy": npy(described())}), media)
    yield sent("a torch archive for npy", archive({"a/data.pkl": pickle.dumps(Evil(), 2), "a/version": b"3"}), media)


def safe(header: Any, data: bytes = bytes(256), length: int | None = None) -> bytes:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(told) if length is None else length) + told + data


def tensors() -> Iterator[Hostile]:
    media = "application/vnd.safetensors"
    good = {"dtype": "F32", "shape": [1, 8, 8], "data_offsets": [0, 256]}
    wrong: dict[str, Any] = {
        "two tensors": {"a": good, "b": good},
        "no tensor": {},
        "an unknown dtype": {"a": {**good, "dtype": "Z9"}},
        "offsets backwards": {"a": {**good, "data_offsets": [256, 0]}},
        "offsets beyond the file": {"a": {**good, "data_offsets": [0, 2**40]}},
        "negative offsets": {"a": {**good, "data_offsets": [-256, 0]}},
        "a shape that lies": {"a": {**good, "shape": [1, 8, 9]}},
        "a shape of 2 to the 70": {"a": {**good, "shape": [2**35, 2**35]}},
        "a negative shape": {"a": {**good, "shape": [-1, 8, 8]}},
        "a name for a shape": {"a": {**good, "shape": "8"}},
        "a list for a header": [1],
        "a header of brackets": b"[" * 50_000,
        "a header that is no JSON": b"{nothing}",
        "a header of no UTF-8": b'{"\xff": 1}',
        "NaN in its header": b'{"a": NaN}',
    }
    for name, header in wrong.items():
        yield sent(f"safetensors with {name}", safe(header), media)
    yield sent("safetensors with a header of 2 to the 60", safe({"a": good}, length=2**60), media, TOO_LARGE)
    yield sent("safetensors with a header of nothing", safe(b"", length=0), media)
    yield sent("safetensors cut", safe({"a": good})[:40], media)
    yield sent("safetensors of NaN", save({"a": np.full((1, 8, 8), np.nan, np.float32)}), media)
    yield sent("safetensors of another shape", save({"a": np.zeros((3, 3), np.float32)}), media)
