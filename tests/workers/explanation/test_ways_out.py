"""Every file of numbers that is written holds the array's own values, however they lie in memory (safetensors#825)."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from redis import Redis
from safetensors.numpy import load

from service.explanations.representations import represent
from service.http.negotiation import NPY, SAFETENSORS
from tests.tree import ROOT
from workers.explanation.tensors import encode_npy, encode_safetensors
from workers.jobs.partials import Partials

PLAIN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
LAYOUTS: dict[str, NDArray[Any]] = {
    "Fortran order": np.asfortranarray(PLAIN),
    "transposed": PLAIN.transpose(2, 0, 1),
    "every other": PLAIN[:, :, ::2],
    "backwards": PLAIN[::-1],
    "broadcast": np.broadcast_to(PLAIN[:1], (3, 3, 4)),
    "channels last": np.ascontiguousarray(PLAIN.transpose(1, 2, 0)).transpose(2, 0, 1),
    "big endian": PLAIN.astype(">f4"),
    "big endian, Fortran order": np.asfortranarray(PLAIN.astype(">f4")),
    "a field of records": np.array([(1, 2.5), (3, 4.5)], [("a", "i4"), ("b", "f4")])["b"],
    "without axes": np.asarray(np.float32(3)),
    "without values": np.zeros((3, 0), np.float32)[::2],
    "float16": np.asfortranarray(PLAIN.astype(np.float16)),
    "float64": PLAIN.astype(np.float64).T,
    "int64": PLAIN.astype(np.int64).T,
    "bool": (PLAIN > 7).T,
    "uint8": PLAIN.astype(np.uint8).T,
}


@pytest.fixture(params=LAYOUTS)
def array(request: pytest.FixtureRequest) -> NDArray[Any]:
    return LAYOUTS[request.param]


def same(found: NDArray[Any], wanted: NDArray[Any]) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, wanted)


def test_safetensors(array: NDArray[Any]) -> None:
    same(load(encode_safetensors({"a": array, "b": array[..., None]}, {"made": "here"}))["a"], array)


def test_npy(array: NDArray[Any]) -> None:
    same(np.load(io.BytesIO(encode_npy(array)), allow_pickle=False), array)


def test_what_a_job_has_gathered_so_far(array: NDArray[Any], jobs: Redis) -> None:
    partials = Partials(jobs)
    partials.save("job", "phase", {"a": array})
    kept = partials.saved("job", "phase")
    assert kept is not None
    same(np.asarray(kept["a"]), array)


@pytest.mark.parametrize("media", [SAFETENSORS, NPY])
def test_a_result_as_the_service_gives_it(array: NDArray[Any], media: str) -> None:
    meta = {"id": "0", "kind": "scores", "model": {"digest": "d"}, "method": {"name": "m"}}
    content = bytes(represent(meta, [encode_npy(array)], media).body)
    same(load(content)["scores"] if media == SAFETENSORS else np.load(io.BytesIO(content)), array)


def test_the_library_writes_in_one_place() -> None:
    """Its writers take memory as it lies, so that a second place would have to copy by itself."""
    sources = [path for folder in ("service", "workers") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in sources if _imports_a_writer(path)] == ["tensors.py"]


def _imports_a_writer(path: Path) -> bool:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    taken = {one.name for node in imports if (node.module or "").startswith("safetensors") for one in node.names}
    return not taken.isdisjoint({"save", "save_file", "serialize", "serialize_file", "numpy", "torch"})
