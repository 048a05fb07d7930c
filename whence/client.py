"""The client that blocks: `Client(url).explain(model, input, method)` is an explanation."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import httpx

from whence import flows
from whence.collection import Collection
from whence.connection import AT_ONCE, PATIENCE_S, settings, unreachable
from whence.datasets import Upload, name_of, upload_of
from whence.errors import WhenceError
from whence.explanation import Explanation
from whence.files import new_file
from whence.flows import API, JSON, Ask, Flow, Pause, Tell
from whence.inputs import Given
from whence.problems import check
from whence.progress import Advance, bar, still

T = TypeVar("T")


class Client:
    """A Whence at `url`, asked with the API key `key`; by default WHENCE_URL and WHENCE_KEY of the environment.

    `patience` is how many seconds an explanation may take. It may be used as a context, which closes its connections,
    and from several threads.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, patience: float = PATIENCE_S) -> None:
        self.http = httpx.Client(**settings(url, key))
        self.patience = patience

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def explain(
        self,
        model: str,
        input: Given = None,  # noqa: A002  # the word of the API
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        **parameters: Any,
    ) -> Explanation:
        """Explain what a model says of one input, by one method, the model's own where none is named.

        `input` is an array, a PIL image, the path or the bytes of a file, a text, or a mapping of these by the names
        of the model's inputs; none for methods that take none. `target` is a class by its index or name, or an object
        of the API. Raises WhenceError.
        """
        asked = flows.request_of(model, method, target, parameters)
        answer = self.submit(flows.explain(asked, input))
        return self._finished(answer, time.monotonic() + self.patience)

    @overload
    def explain_many(
        self,
        model: str,
        inputs: Iterable[Given],
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        *,
        at_once: int = AT_ONCE,
        progress: bool = True,
        keep_errors: Literal[False] = False,
        **parameters: Any,
    ) -> Iterator[Explanation]: ...
    @overload
    def explain_many(
        self,
        model: str,
        inputs: Iterable[Given],
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        *,
        at_once: int = AT_ONCE,
        progress: bool = True,
        keep_errors: Literal[True],
        **parameters: Any,
    ) -> Iterator[Explanation | WhenceError]: ...
    def explain_many(
        self,
        model: str,
        inputs: Iterable[Given],
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        *,
        at_once: int = AT_ONCE,
        progress: bool = True,
        keep_errors: bool = False,
        **parameters: Any,
    ) -> Iterator[Explanation | WhenceError]:
        """Explain each input in turn, at most `at_once` of them on their way; the order is that of the inputs.

        Inputs are read as they are needed. An error is raised at its place, or, with `keep_errors`, stands at it. What
        is on its way when the iterator is closed is withdrawn.
        """
        asked = flows.request_of(model, method, target, parameters)
        total = len(inputs) if isinstance(inputs, Sized) else None
        return self._each(
            asked, iter(inputs), at_once, bar("explained", total) if progress else nullcontext(still), keep_errors
        )

    def _each(
        self,
        asked: Mapping[str, Any],
        left: Iterator[Given],
        at_once: int,
        shown: AbstractContextManager[Advance],
        keep_errors: bool,
    ) -> Iterator[Explanation | WhenceError]:
        waiting: deque[httpx.Response | WhenceError] = deque()
        more, done = True, 0
        try:
            with shown as advance:
                while more or waiting:
                    while more and len(waiting) < at_once:
                        try:
                            given = next(left)
                        except StopIteration:
                            more = False
                        else:
                            waiting.append(self._tried(flows.explain(asked, given)))
                    if not waiting:
                        return
                    made = self._outcome(waiting[0])
                    waiting.popleft()
                    advance(done := done + 1, None)
                    if isinstance(made, WhenceError) and not keep_errors:
                        raise made
                    yield made
        finally:
            for answer in waiting:
                if isinstance(answer, httpx.Response):
                    self.withdraw(answer)

    def _tried(self, ask: Ask) -> httpx.Response | WhenceError:
        try:
            return self.submit(ask)
        except WhenceError as error:
            return error

    def _outcome(self, answer: httpx.Response | WhenceError) -> Explanation | WhenceError:
        if isinstance(answer, WhenceError):
            return answer
        try:
            return self._finished(answer, time.monotonic() + self.patience)
        except WhenceError as error:
            return error

    def _finished(self, answer: httpx.Response, latest: float) -> Explanation:
        document = self._awaited(answer, latest)
        return Collection(document, self) if document["kind"] == "collection" else Explanation(document, self.fetch)

    def _awaited(self, answer: httpx.Response, latest: float, tell: Tell = flows.silent) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.run(flows.finish(answer, JSON, latest, tell)).json()
        except KeyboardInterrupt:
            self.withdraw(answer)
            raise
        return found

    def send_dataset(self, inputs: Any) -> dict[str, Any]:
        """Keep many inputs there: a folder of images, .npz, .zip, .tar, .csv (a row each), .npy, an array (first axis).

        Its document has the `digest`, by which methods name it. Raises WhenceError, ValueError.
        """
        with upload_of(inputs) as upload:
            return self._sent(upload)

    def _sent(self, upload: Upload) -> dict[str, Any]:
        found: dict[str, Any] = self.submit(flows.send(upload.file, upload.media)).json()
        return found

    def explain_dataset(
        self,
        model: str,
        inputs: Any,
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        *,
        items: tuple[int, int] | None = None,
        progress: bool = True,
        **parameters: Any,
    ) -> Collection:
        """Explain many inputs in one job: thousands, without holding them here. `patience` does not end it.

        `inputs` is what `send_dataset` takes, or the digest or name of a dataset that is there; `items` are the first
        and the first left out. The columns of a .csv may come in any order where its first line names them.
        """
        names: tuple[str, ...] = ()
        if (named := name_of(inputs)) is None:
            with upload_of(inputs, self.run(flows.columns(model, inputs))) as upload:
                named, names = str(self._sent(upload)["digest"]), upload.names
        asked = flows.request_of(model, method, target, parameters) | {"input": flows.many(named, items)}
        answer = self.submit(flows.explain(asked, None))
        with bar("explained", None) if progress else nullcontext(still) as advance:
            document = self._awaited(answer, math.inf, flows.counting(advance))
        return Collection(document, self, names[slice(*(items or (None, None)))])

    def download(self, path: str, to: Path) -> None:
        """Write what is under a path to a file as it comes. Raises WhenceError."""
        try:
            with self.http.stream("GET", path) as answer:
                if answer.is_error:
                    answer.read()
                check(answer)
                with new_file(to) as file:
                    for part in answer.iter_bytes():
                        file.write(part)
        except httpx.TransportError as error:
            raise unreachable(self.http.base_url, error) from None

    def explanation(self, explanation_id: str) -> Explanation:
        """The explanation of that id, waiting until it is finished. Raises WhenceError."""
        answer = self.run(flows.submit(Ask("GET", f"{flows.EXPLANATIONS}/{explanation_id}"), time.monotonic()))
        return self._finished(answer, time.monotonic() + self.patience)

    def models(self) -> list[dict[str, Any]]:
        """What is told of every model: name, state, input, classes."""
        found: list[dict[str, Any]] = self.get("/models")["models"]
        return found

    def model(self, name: str) -> dict[str, Any]:
        """What is told of one: also its layers, and which methods can explain it and why not the others."""
        found: dict[str, Any] = self.get(f"/models/{name}")
        return found

    def methods(self) -> list[dict[str, Any]]:
        """Every method with its question, its cost and the JSON Schema of its parameters."""
        found: list[dict[str, Any]] = self.get("/methods")["methods"]
        return found

    def get(self, path: str, **query: Any) -> Any:
        """The JSON under a path of the API, below /api/v1. Raises WhenceError."""
        return self.run(flows.get(path if path.startswith("/api/") else API + path, **query))

    def fetch(self, path: str, accept: str, **query: Any) -> bytes:
        """What is under a path of this Whence, in the form named. Raises WhenceError."""
        return self.run(flows.fetch(path, accept, **query))

    def submit(self, ask: Ask) -> httpx.Response:
        """The first answer to a request, which is repeated for as long as there is no room and patience lasts."""
        return self.run(flows.submit(ask, time.monotonic() + self.patience))

    def withdraw(self, answer: httpx.Response) -> None:
        """Say that nobody here waits any more for what it promised; where nobody hears that, nothing is lost."""
        with contextlib.suppress(WhenceError):
            self._answered(flows.withdraw(flows.place_of(answer)), timeout=2.0)

    def run(self, flow: Flow[T]) -> T:
        """Do what a flow asks until it returns."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(flow)
                else:
                    step = flow.send(self._answered(step))
        except StopIteration as end:
            found: T = end.value
            return found

    def _answered(self, ask: Ask, **options: Any) -> httpx.Response:
        try:
            return self.http.request(
                ask.method, ask.path, params=dict(ask.params), headers=dict(ask.headers), **ask.body, **options
            )
        except httpx.TransportError as error:
            raise unreachable(self.http.base_url, error) from None
