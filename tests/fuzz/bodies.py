"""Bodies gone wrong in every way that chance finds: `python -m tests.fuzz.bodies --minutes 30`, or `make fuzz`.

Each example breaks a sound request of one route, in its JSON or its bytes, and sends it to the app. It is answered with
what a client can do something about, in few words, and never with an error of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import io
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tarfile import TarFile, TarInfo
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from service.app import create_app
from service.settings import Settings
from tests.service.fake_repository import DIGITS, TABLE
from tests.service.fakes import FakeQueue

NATIVE = "/api/v1/explanations"
DATASETS = "/api/v1/datasets"
JSON = {"content-type": "application/json"}
LONGEST_ANSWER = 20_000
SEGMENTS = DIGITS.model_copy(
    update={"name": "segments", "digest": "sha256:" + "c" * 64, "output": "segmentation", "outputs": (3, 4, 4)}
)
VALUES = TABLE.model_copy(update={"name": "values", "digest": "sha256:" + "b" * 64, "output": "value"})
NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, "", "NaN", "\0", "\u2028", "argmax",
    "value", "7" * 5000, "x" * 3000, "{}", "[", "[1,2]", '{"top_k": 3}', "data:image/png;base64,AAAA", "AAAA", "٣",
    [], {}, [[]], [[], []], [0] * 300, [{}] * 101, [[[[[[[[[0]]]]]]]]], {"name": "lrp"}, {"top_k": 2**40}, {"rank": -1},
    {"class": 0, "mask": [[1, 0], [1]]}, {"layer": "conv", "index": [0] * 9}, {"b64": "AA"}, {"data": [1, 2, 3, 4]},
    {"name": "consensus", "of": ["gradient", "lrp"]}, {"name": "smooth_grad", "of": {"name": "smooth_grad"}},
    {"shape": [4], "data": [1, 2, 3, 4]}, {"shape": [], "data": []}, {"shape": [2**62, 4], "data": [1]}, "lrp",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One request."""

    path: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def png(size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("L", (size, size), 128).save(out, "PNG")
    return out.getvalue()


@cache
def files() -> tuple[bytes, ...]:
    """Inputs as files: a picture, and the tensors of two models as .npy and .safetensors."""
    found = [png()]
    for shape in ((4,), (1, 8, 8)):
        out = io.BytesIO()
        np.save(out, np.zeros(shape, np.float32))
        found += [out.getvalue(), save({"x": np.zeros(shape, np.float32)})]
    return tuple(found)


@cache
def archives() -> tuple[bytes, ...]:
    """Datasets: arrays, and pictures in class folders as .zip and .tar."""
    arrays, zipped, tarred = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(arrays, inputs=np.zeros((3, 4), np.float32), labels=np.arange(3))
    with ZipFile(zipped, "w") as file:
        for name in ("a/1.png", "b/2.png"):
            file.writestr(name, png())
    with TarFile(fileobj=tarred, mode="w") as tar:
        for name in ("a/1.png", "b/2.png"):
            info = TarInfo(name)
            info.size = len(png())
            tar.addfile(info, io.BytesIO(png()))
    return arrays.getvalue(), zipped.getvalue(), tarred.getvalue()


def documents() -> list[tuple[str, Any]]:
    """Sound JSON, by the route that takes it."""
    row = [1.0, 2.0, 3.0, 4.0]
    table = [{"layers": "conv*", "rule": "gamma"}, {"rule": "epsilon", "std": 0.1}]
    tensor = {"shape": [4], "dtype": "float32", "data": row}
    given = {"name": "input", "shape": [2, 4], "datatype": "FP32", "data": [row, row]}
    targets = {"name": "target", "shape": [2], "datatype": "INT64", "data": [0, 1]}
    mask = {"class": 1, "mask": [[1, 0, 1, 0]] * 4}
    return [
        (NATIVE, {"model": "table", "method": {"name": "smooth_grad", "of": "gradient"}, "target": [0, {"top_k": 2}],
                  "input": {"tensor": tensor}}),
        (NATIVE, {"model": "digits", "method": ["gradient", {"name": "lrp", "composite": table}], "target": "two",
                  "input": {"tensor": {"shape": [1, 8, 8], "data": [[[0] * 8] * 8]}}}),
        (NATIVE, {"model": "segments", "target": [mask, {"layer": "conv", "channel": 1}],
                  "input": {"digest": "sha256:" + "0" * 64}, "webhook": {"url": "https://example.org"}}),
        (NATIVE, {"model": "values", "target": {"index": [1]}, "input": {"tensor": tensor}}),
        ("/v1/models/table:explain", {"instances": [row, {"data": row, "target": 1}], "parameters": {"method": "lrp"}}),
        ("/v1/models/digits:predict", {"inputs": ["AAAA", {"b64": "AAAA"}]}),
        ("/v2/models/table/explain", {"inputs": [given, targets], "outputs": [{"name": "explanation"}],
                                      "parameters": {"whence.method": "smooth_grad", "whence.samples": 3}}),
        ("/v2/models/table/infer", {"id": "1", "inputs": [given], "outputs": [{"name": "scores", "parameters":
                                    {"classification": 1}}]}),
        ("/v2/models/digits~lrp/infer", {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES",
                                         "data": ["AAAA"]}], "parameters": {"whence.composite": json.dumps(table)}}),
        ("/explanations/table", {"data": row, "target": 1, "method": "gradient", "params": {}}),
        ("/predictions/table", {"instances": [row, {"data": row}]}),
        ("/v2/repository/index", {"ready": True}),
    ]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(one, (*path, key))


def _put(value: Any, path: tuple[Any, ...], new: Any, how: str) -> Any:
    if not path:
        return new
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    last = path[-1]
    if how == "drop":
        del holder[last]
    elif how == "more" and isinstance(holder, list):
        holder.extend([new] * 3)
    elif how == "name" and isinstance(holder, dict):
        holder[str(new)[:50]] = holder.pop(last)
    elif how == "wrap":
        holder[last] = [holder[last]]
    else:
        holder[last] = new
    return value


@st.composite
def broken_json(draw: st.DrawFn) -> Call:
    """A sound document of which a few places hold something else."""
    path, value = copy.deepcopy(draw(st.sampled_from(documents())))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(list(_places(value))))
        new = copy.deepcopy(draw(st.sampled_from(NASTY)))
        value = _put(value, place, new, draw(st.sampled_from(["put", "put", "drop", "more", "name", "wrap"])))
    text = json.dumps(value)
    return Call(path, text.encode(draw(st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-32"]))), JSON)


@st.composite
def broken_text(draw: st.DrawFn) -> Call:
    """JSON of which bytes are others."""
    path, value = draw(st.sampled_from(documents()))
    return Call(path, draw(_bytes(json.dumps(value).encode())), JSON)


@st.composite
def broken_file(draw: st.DrawFn) -> Call:
    """A file as the body, as a part of a form, in base64, or as bytes behind JSON."""
    data = draw(_bytes(draw(st.sampled_from(files()))))
    model = draw(st.sampled_from(["digits", "table"]))
    target = draw(st.sampled_from(["argmax", "0", "[0, 1]", '{"top_k": 2}', "[[", "7" * 30]))
    kind = draw(st.sampled_from(["raw", "form", "torchserve", "binary", "binary"]))
    if kind == "raw":
        query = httpx.QueryParams({"model": model, "target": target, "method": "gradient", "params": "{}"})
        return Call(f"{NATIVE}?{query}", data, {"content-type": "application/octet-stream"})
    if kind == "binary":
        shape, size = draw(st.sampled_from([[1], [3], [1, 4], [1, 1, 8, 8], []])), len(data)
        size = size if draw(st.booleans()) else draw(st.integers(-1, 2 * size))
        datatype = draw(st.sampled_from(["BYTES", "FP32", "FP64", "BF16", "BOOL", "INT64", "FP8"]))
        given = {"name": draw(st.sampled_from(["image", "input", "input-0", "target"])), "shape": shape,
                 "datatype": datatype, "parameters": {"binary_data_size": size}}  # fmt: skip
        head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
        length = str(len(head) + draw(st.sampled_from([0, 0, 0, -1, 1, 10**6])))
        body = head + (data if draw(st.booleans()) else len(data).to_bytes(4, "little") + data)
        return Call(f"/v2/models/{model}/infer", body, {"inference-header-content-length": length})
    parts = {"target": target, "method": "gradient"} | ({"model": model} if kind == "form" else {})
    name = "input" if kind == "form" else "data"
    text = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts.items())
    file = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode()
    body = draw(_bytes(text.encode() + file + data + b"\r\n--b--\r\n"))
    path = NATIVE if kind == "form" else f"/explanations/{model}"
    return Call(path, body, {"content-type": "multipart/form-data; boundary=b"})


@st.composite
def broken_dataset(draw: st.DrawFn) -> Call:
    """An archive of a dataset of which bytes are others."""
    return Call(DATASETS, draw(_bytes(draw(st.sampled_from(archives())))))


@st.composite
def _bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    data = bytearray(sound)
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        new = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\r\n", b'"', b"[["]))
        how = draw(st.integers(0, 9))
        if how < 7:
            data[place : place + len(new)] = new
        elif how < 9:
            del data[place : place + draw(st.integers(1, 50))]
        else:
            data[place:place] = new * draw(st.integers(1, 200))
    return bytes(data)


ALL = (broken_json, broken_text, broken_file, broken_dataset)


@contextmanager
def sending() -> Iterator[Callable[[Call], str]]:
    """What sends a call to an app, and tells the status and code of its answer."""
    queue = FakeQueue()
    queue.served |= {"segments": SEGMENTS, "values": VALUES}
    with tempfile.TemporaryDirectory() as place, asyncio.Runner() as runner:
        app = create_app(Settings(datasets=Path(place), log_level="CRITICAL"), queue)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence")

        def send(call: Call) -> str:
            async def sent() -> httpx.Response:
                async with asyncio.timeout(30):
                    return await client.post(call.path, content=call.content, headers=call.headers)

            answer = runner.run(sent())
            queue.orders.clear()
            return told(call, answer)

        yield send
        runner.run(client.aclose())


def told(call: Call, answer: httpx.Response) -> str:
    """Its status and code; raises where it is an error of ours, or not in few words."""
    if answer.status_code >= 500:
        raise AssertionError(f"{answer.status_code} {answer.text[:300]} of {call}")
    if answer.status_code >= 400 and len(answer.content) > LONGEST_ANSWER:
        raise AssertionError(f"{len(answer.content)} bytes of {answer.status_code}: {answer.text[:300]}")
    code = answer.json().get("code", "") if answer.headers["content-type"].endswith("json") and answer.is_error else ""
    return f"{answer.status_code} {code}".strip()


def fuzz(
    calls: st.SearchStrategy[Call], examples: int, start: int, send: Callable[[Call], str], seen: Callable[[str], None]
) -> None:
    """That many calls of a strategy, sent."""

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink])  # fmt: skip
    @given(calls)
    def one(call: Call) -> None:
        seen(send(call))

    one()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--start", type=int, default=0, help="The first seed.")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    became: Counter[str] = Counter()
    end, start, faults = time.monotonic() + 60 * asked.minutes, asked.start, 0
    while time.monotonic() < end:
        start += 1
        with sending() as send:
            for strategy in ALL:
                try:
                    fuzz(strategy(), 200, start, send, lambda what: became.update([what]))
                except Exception as error:
                    faults += 1
                    print(
                        f"seed {start}, {strategy.__name__}: {type(error).__name__}: {str(error)[-1500:]}", flush=True
                    )
        print(f"{became.total()} bodies, {faults} faults", flush=True)
    for what, count in became.most_common(60):
        print(f"{count:8} {what}")
    sys.exit(min(faults, 1))


if __name__ == "__main__":
    main()
