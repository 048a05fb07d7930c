"""A server that predicts, in any of the four protocols, as well or as badly as a test wants."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Fault = Callable[[int, "Reply"], None]
PATHS = {
    "open-inference": "v2/models/m", "kserve": "v1/models/m", "torchserve": "predictions/m", "mlflow": "invocations",
}  # fmt: skip


@dataclass
class Reply:
    """What is about to be answered: a fault may change it, or wait."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fake:
    """`compute` makes the outputs; `fault(number of the request, reply)` spoils an answer. `asked` are the bodies."""

    compute: Compute
    protocol: str = "open-inference"
    version: str | None = "1"
    fault: Fault | None = None
    asked: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    texts: bool = False
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rows(self) -> list[int]:
        """How many rows each request held."""
        return [len(self.read(body)) for body in self.asked]

    def read(self, body: bytes) -> NDArray[np.float64]:
        if not body.startswith((b"{", b"[")):
            return np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)
        told = json.loads(body)
        if self.protocol == "open-inference":
            tensor = told["inputs"][0]
            return np.asarray(tensor["data"], np.float64).reshape(tensor["shape"])
        if self.protocol == "torchserve":
            return np.asarray([told], np.float64)
        if self.texts:
            return np.zeros((len(told["dataframe_split"]["data"]), 1))
        table = told.get("dataframe_split", {}).get("data")
        return np.asarray(table or told.get("instances") or told.get("inputs"), np.float64)

    def answer(self, body: bytes) -> bytes:
        values = self.compute(self.read(body))
        if self.protocol == "open-inference":
            output = {
                "name": "scores",
                "shape": list(values.shape),
                "datatype": "FP64",
                "data": values.ravel().tolist(),
            }
            told: Any = {"model_name": "m", "model_version": self.version, "outputs": [output]}
        else:
            told = values[0].tolist() if self.protocol == "torchserve" else {"predictions": values.tolist()}
        return json.dumps(told).encode()

    @contextmanager
    def busy(self) -> Iterator[int]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            number = len(self.asked)
        try:
            yield number
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def served(fake: Fake) -> Iterator[Fake]:
    """The fake on a free port; `address` is what a card's source says of it."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told = {"name": "m", "versions": [fake.version] if fake.version else [], "platform": "fake"}
            self.reply(Reply(body=json.dumps(told).encode()))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with fake.busy() as number:
                fake.asked.append(body)
                fake.headers.append(dict(self.headers))
                reply = Reply(body=fake.answer(body))
                if fake.fault is not None:
                    fake.fault(number, reply)
            self.reply(reply)

        def reply(self, reply: Reply) -> None:
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True  # the client did not wait

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is no fault."""

    server = Server(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    path = {
        "open-inference": "v2/models/m",
        "kserve": "v1/models/m",
        "torchserve": "predictions/m",
        "mlflow": "invocations",
    }
    fake.address = f"{fake.protocol}:http://127.0.0.1:{server.server_port}/{path[fake.protocol]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
