"""Predictor: the function that another server computes. Every answer is checked before a method sees it."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from workers.engine.model import prediction
from workers.engine.model.function import Function, look
from workers.explanation.errors import InvalidFolder, PredictorChanged, PredictorFailed
from workers.models.remote.connection import Connection
from workers.models.remote.protocols import Protocol
from workers.models.remote.rows import Floats
from workers.models.remote.source import opened, witness

if TYPE_CHECKING:
    from workers.models.folder import Folder

Value = TypeVar("Value")
GROWTH = 4  # of the rows of a request from one that is measured to the next
GAIN = 0.9  # of the time by row: a request of more rows that gains less has no more
LONG_S = 0.5  # a request that takes so long is long enough: more rows would be told of less often
LATE_S = 2.0
LOOK_S = 0.1  # how often a wait for answers looks whether the work is still wanted
ALIKE = 1e-4  # by how much, relative to the largest output, a server may answer one row otherwise from time to time


class Predictor(Function):
    """Outputs by requests of at most `request_rows` rows, some at a time; `seen` is what is known of the server.

    Raises PredictorUnavailable, PredictorFailed, and PredictorChanged once it is another model than the one loaded.
    """

    def __init__(self, folder: Folder, protocol: Protocol, connection: Connection, chunk: int | None = None) -> None:
        self._protocol, self._connection = protocol, connection
        self._changed = False
        self._measured, self._measuring = False, threading.Lock()
        self._most = protocol.rows
        self._shape: tuple[int, ...] | None = None
        self._whole = False  # whether what it answers are whole numbers
        self._version = None if folder.remote and folder.remote.version else folder.version  # as the server tells it
        rows = folder.background_rows()
        self._witness = witness(folder.input, rows)
        self._pool = ThreadPoolExecutor(protocol.section.requests, thread_name_prefix=f"predictor-{folder.name}")
        self._check_version(self._awaited([lambda _: protocol.describe(connection)])[0])
        self._first = self._answers([self._witness])[0]
        self._shape = self._first.shape[1:]
        if self._whole and math.prod(self._shape) == 1 and folder.output != "value":
            raise InvalidFolder(
                "the predictor answers with one whole number a row, as the label of a class is; have it serve "
                'probabilities or scores (with MLServer, output = "predict_proba" in [remote] of card.toml), or say '
                'output = "value" in [model] where it is a quantity'
            )
        card = prediction.card_of_function(folder, self._shape)
        super().__init__(card, torch.device("cpu"), torch.float32, chunk)
        self._request_rows = min(chunk or protocol.rows, protocol.rows)
        self.background = None if rows is None else torch.from_numpy(rows)
        self.seen = {
            "protocol": folder.source.kind,
            "version": folder.version,
            **protocol.seen,
            "witness": hashlib.sha256(np.ascontiguousarray(self._first, "<f4").tobytes()).hexdigest(),
        }

    def run(self, x: Tensor) -> Tensor:
        """The outputs (n, ...), by as many requests as it takes: one that is refused for its size is cut in two."""
        rows = np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)
        if not len(rows):
            return torch.zeros(0, *self.card.outputs)
        while True:
            parts, started = np.array_split(rows, -(-len(rows) // self._request_rows)), time.monotonic()
            try:
                found = self._answers(parts)
            except PredictorFailed as error:
                if not error.refused or len(parts[0]) == 1:
                    raise
                self._answers([parts[0][:1]])  # raises where it is no matter of how many
                self._request_rows = self._most = len(parts[0]) // 2
            else:
                self._adapt(len(parts[0]), time.monotonic() - started)
                return torch.from_numpy(np.concatenate(found)).to(x.device)

    def _adapt(self, rows: int, took: float) -> None:
        """More rows for the next requests where these came soon, fewer where they came late.

        What is measured once is of that moment, and a server that was busy then is not so for ever.
        """
        if not self._measured:
            return
        if took < LONG_S and 2 * rows > self._request_rows:
            self._request_rows = min(GROWTH * self._request_rows, self._most)
        elif took > LATE_S:
            self._request_rows = max(1, rows // 2)
        self._chunk = self._request_rows * self._protocol.section.requests

    def check(self) -> None:
        """Raise PredictorChanged where the row that was asked at first is answered otherwise now."""
        again = self._answers([self._witness])[0]
        far = float(np.abs(again - self._first).max(initial=0))
        if far > ALIKE * max(1e-6, float(np.abs(self._first).max(initial=0))):
            self._changed = True
            raise PredictorChanged(
                "the predictor answers otherwise than when it was loaded, and says that it is the same version: its "
                "answers hang on chance, or the model was replaced under its name; ask again once its card names a new "
                "version"
            )

    def _fastest(self) -> int:
        """A request's rows, measured; times the requests that are made at a time."""
        with self._measuring:  # of works at the same time the first measures, and the others find it done
            if not self._measured:
                self._measure()
                self._measured = True
        return self._request_rows * self._protocol.section.requests

    def _measure(self) -> None:
        """More rows a request while each takes less time by them, it is not refused, and answers come soon.

        However long the way to the server: what a request costs by itself is what many rows share.
        """
        rows = 1
        took = self._seconds(rows)
        while rows < self._most and took < LONG_S:
            more = min(GROWTH * rows, self._most)
            longer = self._seconds(more)
            if longer / more > GAIN * took / rows:  # a disturbance falls on one request
                longer = min(longer, self._seconds(more))
            if self._request_rows < more:  # some were refused, and what is left was taken
                return
            if longer / more > GAIN * took / rows:
                break
            rows, took = more, longer
        self._request_rows = rows

    def _seconds(self, rows: int) -> float:
        """How long a request of so many rows takes."""
        self._request_rows = rows
        x = torch.from_numpy(np.repeat(self._witness, rows, 0))
        started = time.perf_counter()
        self.run(x)
        return time.perf_counter() - started

    def _answers(self, parts: Sequence[Floats]) -> list[Floats]:
        return self._awaited([partial(self._ask, part) for part in parts])

    def _awaited(self, calls: Sequence[Callable[[threading.Event], Value]]) -> list[Value]:
        """What they give, in order; stops what is on its way where one fails, or the work is wanted no more."""
        stop = threading.Event()
        asked = [self._pool.submit(call, stop) for call in calls]
        try:
            waiting = set(asked)
            while waiting:
                done, waiting = wait(waiting, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                look()
                self._connection.break_off()
            return [one.result() for one in asked]
        except BaseException:
            stop.set()
            for one in asked:
                one.cancel()
            raise

    def _ask(self, rows: Floats, stop: threading.Event) -> Floats:
        """The checked answer to one request."""
        if self._changed:
            raise PredictorChanged("the predictor serves another model than when it was loaded; ask again")
        request = self._protocol.request(rows)
        answer = self._connection.post(request.address, request.body, request.headers, stop)
        try:
            values, version = self._protocol.outputs(answer, len(rows))
        except PredictorFailed as error:
            raise PredictorFailed(self._connection.hidden(error.detail)) from None
        self._check_version(version)
        if values.ndim == 0 or len(values) != len(rows):
            have = len(values) if values.ndim else 1
            raise PredictorFailed(f"the predictor answered {len(rows)} rows with {have}")
        if self._shape is not None and values.shape[1:] != self._shape:
            raise PredictorFailed(
                f"the predictor answered with {list(values.shape[1:])} numbers a row, and with {list(self._shape)} "
                "when it was loaded"
            )
        self._whole = values.dtype.kind in "iub"
        with np.errstate(over="ignore"):
            found = values.astype(np.float32)
        if not np.isfinite(found).all():
            raise PredictorFailed("the predictor answered with NaN or infinity")
        return found

    def _check_version(self, told: str | None) -> None:
        self._version = self._version or told
        if told is not None and told != self._version:
            self._changed = True
            was, now = (self._connection.hidden(one or "") for one in (self._version, told))
            raise PredictorChanged(f"the predictor serves version {now} now, and was loaded as {was}; ask again")


def load_remote(folder: Folder) -> Predictor:
    """The function of a folder whose source is a server; raises as Predictor does, and InvalidFolder."""
    assert folder.remote is not None
    return Predictor(folder, *opened(folder.source, folder.remote, folder.input, folder.labels, folder.name))
