"""Hostile requests: what each sends, and the statuses that it may be answered with. All of them are made here."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator

from tests.service.http.hostile_archives import archives
from tests.service.http.hostile_case import DATASETS, TOO_LARGE, URL, Evil, Hostile
from tests.service.http.hostile_files import arrays, images, picture, png_of, tensors
from tests.service.http.hostile_json import documents, typed


def everything() -> list[Hostile]:
    sources = (images, arrays, tensors, documents, typed, forms, archives, paths, queries, headers, wires, protocols)
    return [one for source in sources for one in source()]


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
