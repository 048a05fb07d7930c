"""Signed receipts: what the operator's key signed holds, what anyone else changed or signed does not."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis import Redis
from typer.testing import CliRunner, Result

from service.app import create_app
from service.cli.main import app as cli
from service.settings import Settings
from tests.orders import order
from tests.service.fakes import FakeQueue, receipt_of
from tests.service.live import serving
from workers.jobs.fingerprints import seal
from workers.jobs.job import canonical_json
from workers.jobs.signatures import KeyFileRefused, Signer, is_signed_by, public_key
from workers.jobs.stored_results import Finished, Results

Invoke = Callable[..., Result]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = CliRunner().invoke(cli, ["keys", "signing", str(tmp_path / "key.pem")])
    assert made.exit_code == 0, made.output
    return tmp_path / "key.pem"


@pytest.fixture
def told() -> dict[str, Any]:
    return receipt_of(order(), {"attribution": np.ones((1, 8, 8), np.float32)}, 1.7e9)


@pytest.fixture
def invoke(tmp_path: Path) -> Iterator[Invoke]:
    """`whence verify` of a receipt, against a service that has no such model: exit 3 is past all that is checked."""
    with serving(create_app(Settings(log_level="CRITICAL"), FakeQueue())) as url:

        def run(told: dict[str, Any], *more: str) -> Result:
            (tmp_path / "receipt.json").write_text(json.dumps(told))
            return CliRunner().invoke(cli, ["verify", str(tmp_path / "receipt.json"), "--url", url, *more])

        yield run


def test_the_keys_are_made_once_and_the_private_one_is_for_its_owner(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    again = CliRunner().invoke(cli, ["keys", "signing", str(key)])
    assert (again.exit_code, key.read_bytes()) == (1, before)
    assert "cannot be written: File exists" in again.output


def test_a_stored_result_has_a_signed_receipt_where_there_is_a_key(
    key: Path, jobs: Redis, told: dict[str, Any]
) -> None:
    signer = Signer.from_file(key)
    public = public_key(key.with_name("key.pem.pub"))
    for results, signed in ((Results(jobs, 60, signer=signer), True), (Results(jobs, 60), False)):
        results.save("i" * 64, Finished({"id": "i" * 64, "receipt": told}, {"attribution": b"x"}))
        meta = results.meta("i" * 64)
        assert meta is not None
        assert is_signed_by(meta["receipt"], public) is signed
        assert {name: meta["receipt"][name] for name in told} == told
        assert seal(meta["receipt"]) == told["seal"]


@pytest.mark.parametrize("field", ["seal", "key", "value", "algorithm", "none"])
def test_nothing_of_what_is_signed_can_be_changed(key: Path, told: dict[str, Any], field: str) -> None:
    signed, public = Signer.from_file(key).signed(told), public_key(key.with_name("key.pem.pub"))
    assert is_signed_by(signed, public)
    if field == "seal":
        signed["seal"] = "0" * 64
    elif field == "none":
        signed["signature"] = None
    else:
        signed["signature"] = {**signed["signature"], field: "AAAA"}
    assert is_signed_by(signed, public) is (field in ("key", "algorithm"))  # of which the seal's signature knows


def test_verify_asks_for_the_issuers_signature(key: Path, told: dict[str, Any], invoke: Invoke) -> None:
    told = {**told, "job": {**told["job"], "input": None}}
    told = _again(told)
    public = str(key.with_name("key.pem.pub"))
    signed = Signer.from_file(key).signed(told)
    done = invoke(signed, "--signer", public)
    assert (done.exit_code, "signed with the key in" in done.output) == (3, True), done.output
    assert "--signer to check" in invoke(signed).output
    assert "signed" not in invoke(told).output
    unsigned = invoke(told, "--signer", public)
    assert (unsigned.exit_code, "is not signed" in unsigned.output) == (1, True)
    other = key.with_name("other.pem")
    CliRunner().invoke(cli, ["keys", "signing", str(other)])
    forged = invoke(Signer.from_file(other).signed(told), "--signer", public)
    assert (forged.exit_code, "is not signed with the key" in forged.output) == (1, True)
    stolen = {**_again({**told, "computed_at": 1.0}), "signature": signed["signature"]}
    assert invoke(stolen, "--signer", public).exit_code == 1
    assert invoke(signed, "--signer", str(key)).exit_code == 2  # the private key is not the public one


def _again(told: dict[str, Any]) -> dict[str, Any]:
    """The receipt as one who changes it would seal it again."""
    told = {**told, "id": hashlib.sha256(canonical_json(told["job"])).hexdigest()}
    return {**told, "seal": seal(told)}


def test_a_worker_with_a_key_that_is_none_does_not_start_and_says_why(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, data in {"rsa.pem": rsa, "text.pem": b"no key", "missing.pem": None}.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(KeyFileRefused, match=name):
            Signer.from_file(path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "workers"],
        env={"PATH": "", "WHENCE_RECEIPT_KEY": str(tmp_path / "text.pem")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().startswith("WHENCE_RECEIPT_KEY: ")
    assert "Traceback" not in done.stderr
