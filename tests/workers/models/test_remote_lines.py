"""The line to a server: certificates, and answers that never end."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.patience import PATIENCE_S
from workers.explanation.errors import PredictorUnavailable
from workers.models.remote.connection import Connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def listening(answer: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where `answer` writes to each connection once it has asked something."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=spoken, args=(line,), daemon=True).start()

    def spoken(line: socket.socket) -> None:
        try:
            with context.wrap_socket(line, server_side=True) if context else line as secure:
                secure.recv(65536)
                answer(secure)
        except OSError:
            return  # the client has gone

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def connection(port: int, scheme: str = "http", timeout: float = 30.0) -> Connection:
    return Connection("m", f"{scheme}://127.0.0.1:{port}", {}, timeout=timeout, retries=0, requests=2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate that it signed itself, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "predictor")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_is_trusted_where_the_environment_names_it(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with listening(lambda line: line.sendall(OK), context) as port:
        with pytest.raises(PredictorUnavailable, match=r"not trusted \(self.signed certificate\); SSL_CERT_FILE"):
            connection(port, "https").get(f"https://127.0.0.1:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert connection(port, "https").get(f"https://127.0.0.1:{port}/").json() == {}


def test_a_server_without_tls_is_said_to_speak_none() -> None:
    with (
        listening(lambda line: line.sendall(OK)) as port,
        pytest.raises(PredictorUnavailable, match="speaks no TLS there; its address may begin with http:"),
    ):
        connection(port, "https").get(f"https://127.0.0.1:{port}/")


def test_headers_without_an_end_are_broken_off() -> None:
    """Each comes in time, and what waits for a part never ends; others' requests are made again."""
    over = threading.Event()

    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            line.sendall(b"X: y\r\n")

    with listening(drip) as port:
        line, ended = connection(port, timeout=0.3), threading.Event()

        def ask() -> None:
            with pytest.raises(PredictorUnavailable, match=r"took longer than 0.3 s"):
                line.get(f"http://127.0.0.1:{port}/")
            ended.set()

        asking = threading.Thread(target=ask)
        asking.start()
        until = time.monotonic() + PATIENCE_S
        while not ended.is_set() and time.monotonic() < until:
            line.break_off()
            time.sleep(0.05)
        assert ended.is_set()
        over.set()
        asking.join()
