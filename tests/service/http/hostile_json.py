"""Hostile JSON: documents, and values of other types than the fields have."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

from tests.service.http.hostile_case import BAD, TOO_LARGE, Evil, Hostile


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
