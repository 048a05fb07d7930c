"""Hostile requests: what each sends, and the statuses that it may be answered with. All of them are made here."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

URL = "/api/v1/explanations"
DATASETS = "/api/v1/datasets"
BAD = frozenset({400, 422})
TOO_LARGE = frozenset({413, 422})


@dataclass(frozen=True)
class Hostile:
    """One request; `raw` is sent as it is, to the socket."""

    name: str
    verb: str = "POST"
    path: str = URL
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    expected: frozenset[int] = BAD


class Evil:
    """What runs where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def everything() -> list[Hostile]:
    sources = (images, arrays, tensors, documents, typed, forms, archives, paths, queries, headers, wires, protocols)
    return [one for source in sources for one in source()]


def sent(name: str, content: bytes, media: str, expected: frozenset[int] = BAD) -> Hostile:
    return Hostile(name, "POST", f"{URL}?model=digits", content, {"content-type": media}, expected=expected)


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


def documents() -> Iterator[Hostile]:
    deep = 50_000
    texts = {
        "nothing": b"",
        "a bracket": b"{",
        "brackets": b"[" * deep,
        "closed brackets": b"[" * deep + b"]" * deep,
        "objects in objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "bad UTF-8": b'{"model": "\xff\xfe"}',
        "a cut UTF-8": b'{"model": "\xe2\x82"}',
        "an overlong UTF-8": b'{"model": "\xc0\xaf"}',
        "a lone surrogate": b'{"model": "\\ud800"}',
        "a NUL": b'{"model": "dig\0its"}',
        "UTF-16": '{"model": "digits"}'.encode("utf-16"),
        "a byte order mark": b'\xef\xbb\xbf{"model": "digits"}',
        "two documents": b'{"model": "digits"} {"model": "digits"}',
        "a trailing comma": b'{"model": "digits",}',
        "single quotes": b"{'model': 'digits'}",
        "a comment": b'{"model": "digits" /* */}',
        "a bare NaN": b"NaN",
        "a NaN": b'{"model": "digits", "target": NaN}',
        "an infinity": b'{"model": "digits", "target": -Infinity}',
        "1e999": b'{"model": "digits", "target": 1e999}',
        "a number of many digits": b'{"model": "digits", "target": ' + b"9" * 5000 + b"}",
        "a number": b"1",
        "a text": b'"digits"',
        "a list": b"[]",
        "null": b"null",
        "a pickle": pickle.dumps(Evil()),
        "a long name": b'{"model": "' + b"x" * 90_000 + b'"}',
        "many fields": json.dumps({f"f{i}": i for i in range(5000)}).encode(),
        "__proto__": b'{"__proto__": {"admin": true}, "model": "digits"}',
    }
    for name, text in texts.items():
        yield Hostile(f"JSON: {name}", content=text, headers={"content-type": "application/json"})


def typed() -> Iterator[Hostile]:
    """JSON in which a value is not what it should be."""
    tensor = {"shape": [1, 8, 8], "data": [0] * 64}
    nested: Any = "gradient"
    for _ in range(300):
        nested = {"name": "smooth_grad", "of": nested}
    wrong: dict[str, list[Any]] = {
        "model": [None, 1, [], {}, True, "", "../digits", "digits\0", "digits~lrp", "*", "sha256:" + "0" * 64],
        "method": [1, True, {}, {"name": 1}, {"name": "../x"}, "__init__", [None], ["gradient", 1], nested, [[]], ""],
        "target": [
            -1,
            10**30,
            0.5,
            True,
            [],
            [[]] * 5,
            list(range(101)),
            {"top_k": 10**9},
            {"rank": -1},
            {"x": 1},
            "x",
        ],
        "input": [1, "x", [], {"image": 1}, {"image": "!"}, {"image": "AA=A"}, {"tensor": 1}, {"digest": "sha256:x"}],
        "webhook": [1, {"url": "http://169.254.169.254/"}, {"url": "file:///etc/passwd"}, {"url": ""}, {}],
        "more": [1],
    }
    for name, values in wrong.items():
        for index, value in enumerate(values):
            text = json.dumps({"model": "digits", "input": {"tensor": tensor}, name: value}).encode()
            yield Hostile(f"{name} {index}", content=text, headers={"content-type": "application/json"})
    lies: list[dict[str, Any]] = [
        {"shape": [10**12], "data": []},
        {"shape": [-1], "data": []},
        {"shape": [0], "data": []},
        {"shape": [1] * 65, "data": [0]},
        {"shape": [1, 8, 8], "data": [[0] * 8] * 7 + [[0]]},
        {"shape": [1, 8, 8], "data": ["0"] * 64},
        {"shape": [1, 8, 8], "data": [None] * 64},
        {"shape": [1, 8, 8], "data": [1e308] * 64},
        {**tensor, "dtype": "object"},
        {**tensor, "dtype": "<U9"},
        {"shape": [1, 8, 8], "data": {"0": 1}},
        {**tensor, "shape": [10**400]},
        {**tensor, "more": 1},
    ]
    for index, lie in enumerate(lies):
        text = json.dumps({"model": "digits", "input": {"tensor": lie}}).encode()
        yield Hostile(
            f"tensor {index}", content=text, headers={"content-type": "application/json"}, expected=TOO_LARGE | BAD
        )
    steps: list[Any] = [-1, 0, 10**9, 1.5, "7", True, None, [], 10**40]
    for index, of in enumerate(steps):
        method = {"name": "integrated_gradients", "steps": of}
        text = json.dumps({"model": "digits", "method": method, "input": {"tensor": tensor}}).encode()
        yield Hostile(f"steps {index}", content=text, headers={"content-type": "application/json"})


def part(head: str, body: bytes = b"x") -> bytes:
    return b"--b\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + body + b"\r\n"


def forms() -> Iterator[Hostile]:
    end, model = b"--b--\r\n", part('form-data; name="model"', b"digits")
    good = part('form-data; name="input"; filename="a.png"', png_of(8, 8))
    bodies = {
        "no part": end,
        "nothing": b"",
        "no boundary in it": b"no form",
        "no end": model + good[:30],
        "no name": part("form-data") + end,
        "no disposition": b"--b\r\n\r\nx\r\n" + end,
        "an input that is no file": model + part('form-data; name="input"') + end,
        "an unknown part": model + part('form-data; name="other"') + end,
        "thousands of parts": model * 3000 + end,
        "many files": model + good * 5 + end,
        "a request of bad UTF-8": part('form-data; name="request"', b'{"model": "\xff"}') + good + end,
        "a request of brackets": part('form-data; name="request"', b"[" * 20_000) + good + end,
        "a request and a file as model": part('form-data; name="model"; filename="x"') + good + end,
        "params without a method": model + part('form-data; name="params"', b"{}") + good + end,
        "params that are no object": model
        + part('form-data; name="method"', b"lrp")
        + part('form-data; name="params"', b"[]")
        + good
        + end,
        "a head that does not end": b"--b\r\n" + b"X: " + b"y" * 90_000,
        "thousands of heads": b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\n" + end,
        "a pickle for a file": model
        + part('form-data; name="input"; filename="../../a.png"', pickle.dumps(Evil()))
        + end,
        "an input twice": part('form-data; name="request"', b'{"model": "digits", "input": {"image": "AAAA"}}')
        + good
        + end,
    }
    for name, body in bodies.items():
        yield Hostile(f"form: {name}", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    for media in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 5000,
    ):
        yield Hostile(f"form: {media[:40]} {len(media)}", content=model + end, headers={"content-type": media})


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def tape(*members: tarfile.TarInfo, data: bytes = b"", mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:  # type: ignore[call-overload]
        for member in members:
            member.size = len(data) if member.isreg() else 0
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linked(kind: bytes, name: str = "cat/a.png", to: str = "/etc/passwd") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def archives() -> Iterator[Hostile]:
    def dataset(name: str, data: bytes, expected: frozenset[int] = TOO_LARGE) -> Hostile:
        return Hostile(
            f"dataset: {name}", "POST", DATASETS, data, {"content-type": "application/zip"}, expected=expected
        )

    pixels = png_of(8, 8)
    slips = ("../a.png", "../../etc/cron.d/x", "/etc/x.png", "cat/../../x.png", "C:\\x.png", "..\\x.png")
    for name in slips:
        yield dataset(f"zip slip {name!r}", archive({name: pixels}))
        yield dataset(f"tar slip {name!r}", tape(tarfile.TarInfo(name), data=b"no picture"))
    link = zipfile.ZipInfo("cat/a.png")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(link, "/etc/passwd")
    yield dataset("zip with a link", out.getvalue())
    kinds = {"a symbolic link": tarfile.SYMTYPE, "a hard link": tarfile.LNKTYPE, "a device": tarfile.CHRTYPE}
    for name, kind in {**kinds, "a block device": tarfile.BLKTYPE, "a pipe": tarfile.FIFOTYPE}.items():
        yield dataset(f"tar with {name}", tape(linked(kind)))
    through = linked(tarfile.SYMTYPE, "cat", "/tmp"), tarfile.TarInfo("cat/x.png")
    yield dataset("tar that writes through a link", tape(*through, data=pixels))
    bomb = archive({"inputs.npy": npy(described(shape="(100000, 1, 8, 8)"), bytes(25_600_000))})
    yield dataset("zip bomb", bomb)
    yield dataset("zip bomb of pictures", archive({f"cat/{i}.png": bytes(1_000_000) for i in range(30)}))
    yield dataset("zip in a zip", archive({"cat/a.zip": bomb}))
    yield dataset("tar.gz bomb", tape(tarfile.TarInfo("cat/a.png"), data=bytes(30_000_000), mode="w:gz"))
    yield dataset("many entries", archive({f"cat/{i}.png": b"" for i in range(900)}, zipfile.ZIP_STORED))
    yield dataset("npz of a pickle", archive({"inputs.npy": npy(described("'|O'"), pickle.dumps(Evil()))}))
    yield dataset("npz that lies of its shape", archive({"inputs.npy": npy(described(shape="(1000000000, 1, 8, 8)"))}))
    yield dataset("npz of NaN", archive({"inputs.npy": npy(described(shape="(1, 1, 8, 8)"), b"\xff" * 256)}))
    yield dataset("npz without inputs", archive({"labels.npy": npy(described())}))
    yield dataset("npz of a .pkl", archive({"inputs.pkl": pickle.dumps(Evil())}))
    yield dataset("a torch archive", archive({"a/data.pkl": pickle.dumps(Evil(), 2), "a/data/0": bytes(64)}))
    yield dataset("a .pt2 of a pickle", archive({"m/data/weights/model_weights.pt": pickle.dumps(Evil())}))
    whole = archive({"cat/a.png": pixels, "dog/b.png": pixels})
    yield dataset("zip cut", whole[: len(whole) // 2])
    yield dataset("zip without its table", whole[: whole.index(b"PK\1\2")])
    yield dataset("zip with a flag of encryption", whole.replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1"))
    yield dataset("zip that says it is larger", whole.replace(struct.pack("<I", len(pixels)), b"\xff\xff\xff\x7f"))
    yield dataset("rar", b"Rar!\x1a\x07\x00" + bytes(100))
    yield dataset("7z", b"7z\xbc\xaf\x27\x1c" + bytes(100))
    yield dataset("a pickle", pickle.dumps(Evil()))
    yield dataset("nothing", b"")
    yield dataset("pictures that are none", archive({"cat/a.png": b"\x89PNG no", "dog/b.png": b"GIF89a"}))
    yield dataset("a picture that is a bomb", archive({"cat/a.png": png_of(60_000, 60_000, 1), "dog/b.png": pixels}))


def paths() -> Iterator[Hostile]:
    missing = frozenset({404, 405, 422, 400})
    for path in (
        "/page/../settings.py",
        "/page/..%2fsettings.py",
        "/page/%2e%2e/settings.py",
        "/page/....//x",
        "/page/%00",
        f"{URL}/../../../etc/passwd",
        f"{URL}/{'0' * 63}",
        f"{URL}/{'g' * 64}",
        f"{URL}/{'0' * 64}%0a",
        f"{URL}/%00",
        f"{URL}/{chr(0x660) * 64}",
        f"{URL}/{'x' * 8000}",
        f"{DATASETS}/..%2f..%2fetc",
        f"{DATASETS}/%2e%2e",
        "/api/v1/models/..%2f..%2fpyproject.toml",
        "/api/v1/methods/__init__",
        "/api/v1/methods/%F0%9F%92%A9",
        "/v1/models/..%2f",
        "/v2/models/x~..%2fx",
        "//etc/passwd",
        "/.git/config",
        "/.env",
        "/%c0%ae%c0%ae/",
    ):
        yield Hostile(f"path {path[-50:]}", "GET", path, expected=missing)
    for verb in ("PUT", "PATCH", "TRACE", "DELETE", "OPTIONS", "CONNECTED"):
        yield Hostile(f"verb {verb}", verb, URL, expected=frozenset({400, 405}))


def queries() -> Iterator[Hostile]:
    none = f"{URL}/{'0' * 64}"
    wrong = frozenset({404, 422})
    for query in ("colormap=evil", "size=1e9", "size=-1", "alpha=NaN", "clip=Infinity", "wait=-1", "polarity=%00"):
        yield Hostile(f"query {query}", "GET", f"{none}/heatmap.png?{query}", expected=wrong)
    for query in ("limit=-1", "limit=1e9", "cursor=%00", "cursor=" + "9" * 400, "status=x", "cursor=x", "limit=NaN"):
        yield Hostile(f"query {query[:20]}", "GET", f"{URL}?{query}", expected=wrong)
    for query in ("wait=NaN", "wait=inf", "wait=x", "inline=maybe"):
        yield Hostile(f"query {query}", "GET", f"{none}?{query}", expected=wrong)


def headers() -> Iterator[Hostile]:
    good = picture("PNG", 8)
    values = {
        "whence-deadline": ("-1", "NaN", "1e999", "soon", "0", ""),
        "whence-priority": ("first", "", "interactive,batch"),
        "accept": ("text/evil", "image/png;q=0", "x" * 5000),
        "content-type": ("text/html", "application/x-python-pickle", "application/json2", "x" * 3000),
    }
    answers = {"accept": frozenset({406}), "content-type": frozenset({415})}
    for name, given in values.items():
        for value in given:
            told = {"content-type": "image/png", name: value}
            expected = answers.get(name, frozenset({422}))
            yield Hostile(f"{name}: {value[:20]}", "POST", f"{URL}?model=digits", good, told, expected=expected)
    squeezed = {"content-type": "image/png", "content-encoding": "gzip"}
    bomb = zlib.compress(bytes(10_000_000), 9, 31)
    yield Hostile("a gzipped bomb", "POST", f"{URL}?model=digits", bomb, squeezed, expected=TOO_LARGE)


def wires() -> Iterator[Hostile]:
    """What no client library would send."""
    expected = frozenset({400, 404, 413, 431})
    head = b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    sends = {
        "a huge header": head + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        "thousands of headers": head + b"X: y\r\n" * 20_000 + b"\r\n",
        "a huge request line": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "two lengths": head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "a length and chunks": head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a negative length": head + b"Content-Length: -1\r\n\r\n",
        "a length in words": head + b"Content-Length: five\r\n\r\n",
        "a length beyond all": head + b"Content-Length: 99999999999999999\r\n\r\n",
        "a chunk of bad size": head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n",
        "an unknown encoding": head + b"Transfer-Encoding: gzip\r\n\r\n",
        "a NUL in a header": head + b"X: a\0b\r\n\r\n",
        "a header without a name": head + b": x\r\n\r\n",
        "a space before the colon": head + b"Content-Length : 3\r\n\r\nabc",
        "a folded first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        "no host": b"GET / HTTP/1.1\r\n\r\n",
        "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(80) + b"\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Redis": b"*1\r\n$8\r\nFLUSHALL\r\n\r\n",
    }
    for name, raw in sends.items():
        yield Hostile(f"wire: {name}", raw=raw, expected=expected)


def protocols() -> Iterator[Hostile]:
    expected = frozenset({400, 404, 413, 415, 422})
    calls = ("/v1/models/digits:explain", "/v2/models/digits/infer", "/explanations/digits")
    bodies = (
        b"",
        b"{",
        b"[" * 50_000,
        b'{"instances": [NaN]}',
        b'{"inputs": [{"name": "x", "shape": [-1]}]}',
        b"null",
        b"\xff",
    )
    for path in calls:
        for index, body in enumerate(bodies):
            yield Hostile(
                f"{path} {index}", "POST", path, body, {"content-type": "application/json"}, expected=expected
            )
    for length in ("-1", "x", "9" * 30, "0"):
        told = {"inference-header-content-length": length, "content-type": "application/octet-stream"}
        yield Hostile(f"binary head of {length[:9]}", "POST", calls[1], b'{"inputs": []}', told, expected=expected)
