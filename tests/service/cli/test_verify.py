"""`whence verify`: what holds, within what tolerance, what was tampered with, what cannot be computed again."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from service.app import create_app
from service.cli.main import app as cli
from service.cli.receipt_check import is_of, request_of, tampered
from service.queue.submission import Order
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service import fakes
from tests.service.fake_repository import DIGITS
from tests.service.fakes import FakeQueue, receipt_of, stored
from tests.service.live import serving
from workers.contract import canonical_json, digest_image, digest_tensor, encode_npy, parse_targets, seal
from workers.explanation.card import Layer
from workers.explanation.target import ClassTarget, MaskTarget, RankTarget, UnitTarget, ValueTarget
from workers.jobs.fingerprints import STEP, SUMS, distance, sketch

URL = "/api/v1/explanations"
Run = Callable[..., Result]


@pytest.fixture
def url(queue: FakeQueue) -> Iterator[str]:
    with serving(create_app(Settings(log_level="CRITICAL"), queue)) as url:
        yield url


@pytest.fixture
def receipt(url: str, png: bytes, tmp_path: Path) -> Path:
    (tmp_path / "seven.png").write_bytes(png)
    request = {"model": "digits", "method": {"name": "integrated_gradients", "steps": 7}, "target": 1}
    sent = {"data": {"request": json.dumps(request)}, "files": {"input": ("seven.png", png)}}
    key = httpx.post(url + URL, **sent, timeout=PATIENCE_S).json()["id"]  # type: ignore[arg-type]
    path = tmp_path / "receipt.json"
    path.write_bytes(httpx.get(f"{url}{URL}/{key}/receipt", timeout=PATIENCE_S).content)
    return path


@pytest.fixture
def verify(receipt: Path, url: str) -> Run:
    def run(*more: str) -> Result:
        asked = ["verify", str(receipt), "--input", str(receipt.parent / "seven.png"), "--url", url, *more]
        return CliRunner().invoke(cli, asked)

    return run


def otherwise(monkeypatch: pytest.MonkeyPatch, noise: float, **circumstances: Any) -> None:
    """From now on the service computes something that is so far apart."""

    clock = itertools.count(1.8e9)

    def made(order: Order) -> tuple[dict[str, Any], dict[str, bytes]]:
        meta, arrays = stored(order)
        values: np.ndarray[Any, Any] = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8)
        apart = np.random.default_rng(0).normal(size=values.shape)
        apart *= noise * np.linalg.norm(values) / np.linalg.norm(apart)
        told = {**receipt_of(order, {"attribution": (values + apart).astype(np.float32)}, next(clock)), **circumstances}
        return {**meta, "receipt": {**told, "seal": seal(told)}}, arrays

    monkeypatch.setattr(fakes, "stored", made)


def test_what_is_computed_again_to_the_last_bit_holds(verify: Run, queue: FakeQueue) -> None:
    done = verify("--exact")
    assert (done.exit_code, "same to the last bit" in done.stdout) == (0, True), done.output
    assert [order.recompute for order in queue.orders] == [False, True]


@pytest.mark.parametrize(("noise", "code"), [(3e-4, 0), (3e-3, 1), (1.0, 1)])
def test_on_another_machine_it_holds_within_the_tolerance(
    verify: Run, monkeypatch: pytest.MonkeyPatch, noise: float, code: int
) -> None:
    otherwise(monkeypatch, noise, device="cuda:0")
    done = verify()
    assert done.exit_code == code, done.output
    assert 'device: "cpu" then, "cuda:0" now' in done.stdout
    assert verify("--exact").exit_code == 1
    assert verify("--tolerance", "2").exit_code == 0


def _reseal(told: dict[str, Any]) -> None:
    told["seal"] = seal(told)


def _rename(told: dict[str, Any]) -> None:
    told["id"] = hashlib.sha256(canonical_json(told["job"])).hexdigest()
    _reseal(told)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "id": lambda told: told.update(id="0" * 64),
    "model": lambda told: told["job"].update(model="sha256:" + "0" * 64),
    "input": lambda told: told["job"].update(input="sha256:" + "0" * 64),
    "target": lambda told: told["job"]["target"].update(index=2),
    "steps": lambda told: told["job"]["method"].update(steps=8),
    "revision": lambda told: told["job"]["revisions"].append(99),
    "versions": lambda told: told["versions"].update(torch="9"),
    "device": lambda told: told.update(device="cuda"),
    "machine": lambda told: told["machine"].update(threads=99),
    "computed_at": lambda told: told.update(computed_at=1.0),
    "sha256": lambda told: told["sha256"].update(attribution="0" * 64),
    "norm": lambda told: told["sketches"]["attribution"].update(norm=1.0),
    "sums": lambda told: told["sketches"]["attribution"]["sums"].reverse(),
    "seal": lambda told: told.update(seal="0" * 64),
    "missing": lambda told: told.pop("sketches"),
    "more": lambda told: told.update(signed_by="the bank"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_field_can_be_changed(verify: Run, receipt: Path, queue: FakeQueue, change: str) -> None:
    told = json.loads(receipt.read_bytes())
    assert tampered(told) is None
    CHANGES[change](told)
    receipt.write_text(json.dumps(told))
    done = verify()
    assert (done.exit_code, "not as it was issued" in done.output) == (1, True), done.output
    assert len(queue.orders) == 1  # nothing was computed for it


@pytest.mark.parametrize("change", ["versions", "device", "machine", "sha256", "norm", "sums"])
def test_who_seals_it_again_is_found_out_by_what_is_stored(verify: Run, receipt: Path, change: str) -> None:
    told = json.loads(receipt.read_bytes())
    CHANGES[change](told)
    _reseal(told)
    receipt.write_text(json.dumps(told))
    done = verify()
    assert (done.exit_code, "what the service has stored" in done.output) == (1, True), done.output


@pytest.mark.parametrize(("change", "code"), [("sha256", 0), ("sums", 1), ("target", 1), ("revision", 3), ("model", 3)])
def test_who_seals_it_again_after_it_expired_is_found_out_by_the_numbers(
    verify: Run, receipt: Path, queue: FakeQueue, change: str, code: int
) -> None:
    """The bits of a digest cannot be forged, only denied: then the sketches, which are right, decide."""
    told = json.loads(receipt.read_bytes())
    CHANGES[change](told)
    if change == "sums":
        told["sha256"]["attribution"] = "0" * 64
    if change == "target":
        told["sha256"]["attribution"], told["sketches"]["attribution"]["sums"] = "0" * 64, [9.0] * SUMS
    _rename(told)
    receipt.write_text(json.dumps(told))
    queue.results.clear()
    done = verify()
    assert done.exit_code == code, done.output
    assert verify("--exact").exit_code in (1, 3)


def test_another_input_is_not_what_was_explained(verify: Run, receipt: Path) -> None:
    (receipt.parent / "seven.png").write_bytes(b"\x89PNG another")
    assert (verify().exit_code, "not the input" in verify().output) == (1, True)
    bare = CliRunner().invoke(cli, ["verify", str(receipt)])
    assert (bare.exit_code, "needs its --input" in bare.output) == (1, True)


def test_what_cannot_be_computed_again_is_neither_right_nor_wrong(
    verify: Run, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify("--url", "http://127.0.0.1:9").exit_code == 3
    queue.served = {"other": DIGITS.model_copy(update={"digest": "sha256:" + "1" * 64})}
    done = verify()
    assert (done.exit_code, "is served" in done.output) == (3, True)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '{"id": 1}', "[" * 100_000])
def test_what_is_no_receipt(verify: Run, receipt: Path, text: str) -> None:
    receipt.write_text(text)
    assert verify().exit_code == 1


def test_a_tensor_is_known_in_any_file_that_holds_it() -> None:
    values = np.arange(4, dtype=np.float32)
    digest = digest_tensor(values)
    assert is_of(digest, encode_npy(values))
    assert is_of(digest, encode_npy(values.astype(np.float64)[None]))
    assert not is_of(digest, encode_npy(values + 1))
    assert is_of(digest_image(b"any"), b"any")


@pytest.mark.parametrize(
    "target",
    [
        ClassTarget(index=2),
        RankTarget(rank=1),
        UnitTarget(layer="conv", channel=3),
        UnitTarget(layer="conv", index=(0, 1, 2)),
        MaskTarget(index=0, mask=((True, False), (False, True))),
        ValueTarget(),
    ],
)
def test_every_target_is_asked_for_again_as_it_was(target: Any) -> None:
    shape = {"mask": (3, 2, 2), "value": ()}.get(target.kind, (3,))
    output = {"mask": "segmentation", "value": "value"}.get(target.kind, "classes")
    layers = (Layer(name="conv", op="conv2d", shape=(4, 8, 8), axes=("channel", "height", "width")),)
    card = DIGITS.model_copy(update={"outputs": shape, "output": output, "layers": layers})
    job = {"method": {"name": "gradient"}, "target": target.model_dump(mode="json")}
    assert parse_targets(request_of(job, "digits")["target"], card) == [target]


@pytest.fixture
def short(queue: FakeQueue) -> Iterator[str]:
    """A service like the other that computes in bfloat16."""
    queue.precision = "bfloat16"
    with serving(create_app(Settings(log_level="CRITICAL", precision="bfloat16"), queue)) as url:
        yield url


def test_a_receipt_is_of_the_precision_that_it_names(
    verify: Run, receipt: Path, short: str, queue: FakeQueue, url: str, tmp_path: Path
) -> None:
    """By a service of another it cannot be computed again, and it is told why; by one of its own it can."""
    done = verify("--url", short)
    assert done.exit_code == 3
    assert "it computes in bfloat16, and the receipt is of float32" in done.stderr
    request = {"model": "digits", "method": {"name": "integrated_gradients", "steps": 7}, "target": 1}
    png = (tmp_path / "seven.png").read_bytes()
    sent = {"data": {"request": json.dumps(request)}, "files": {"input": ("seven.png", png)}}
    key = httpx.post(short + URL, **sent, timeout=PATIENCE_S).json()["id"]  # type: ignore[arg-type]
    told = httpx.get(f"{short}{URL}/{key}/receipt", timeout=PATIENCE_S)
    assert (told.json()["job"]["precision"], told.json()["id"]) == ("bfloat16", key)
    receipt.write_bytes(told.content)
    assert verify("--url", short).exit_code == 0
    queue.precision = "float32"
    done = verify()
    assert (done.exit_code, "it computes in float32, and the receipt is of bfloat16" in done.stderr) == (3, True)


@pytest.mark.parametrize(("noise", "code"), [(3e-2, 0), (0.3, 1)])
def test_shorter_products_may_be_further_apart(
    verify: Run, receipt: Path, short: str, png: bytes, monkeypatch: pytest.MonkeyPatch, noise: float, code: int
) -> None:
    request = {"model": "digits", "method": {"name": "integrated_gradients", "steps": 7}, "target": 1}
    sent = {"data": {"request": json.dumps(request)}, "files": {"input": ("seven.png", png)}}
    key = httpx.post(short + URL, **sent, timeout=PATIENCE_S).json()["id"]  # type: ignore[arg-type]
    receipt.write_bytes(httpx.get(f"{short}{URL}/{key}/receipt", timeout=PATIENCE_S).content)
    otherwise(monkeypatch, noise)
    assert verify("--url", short).exit_code == code
    assert verify("--url", short, "--tolerance", "0.001").exit_code == 1


@pytest.mark.parametrize("size", [1, 15, 16, 1000, 150_528])
def test_sketches_tell_how_far_arrays_are_apart(size: int) -> None:
    random = np.random.default_rng(size)
    array = random.normal(size=size)
    told = []
    for key in range(40):
        other = array + 1e-3 * random.normal(size=size)
        truth = np.linalg.norm(other - array) / max(np.linalg.norm(array), np.linalg.norm(other))
        told.append(distance(sketch(array, str(key)), sketch(other, str(key))) / truth)
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(1, rel=0.12)
    assert np.std(told) < 0.3


def test_a_sketch_is_the_sum_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(40, dtype=np.float32).reshape(5, 8)
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(b"k:0").digest(5), np.uint8))
    sums = np.zeros(SUMS)
    for place, (bit, value) in enumerate(zip(bits, array.ravel(), strict=True)):
        sums[place % SUMS] += value if bit else -value
    assert sketch(array, "k") == {
        "shape": [5, 8],
        "norm": float(np.sqrt((array.astype(np.float64) ** 2).sum())),
        "sums": sums.tolist(),
    }
    assert STEP % (8 * SUMS) == 0
    large = np.ones(STEP + 5)
    assert sketch(large, "k")["norm"] == pytest.approx(np.sqrt(large.size))
