"""The client for asyncio: as `Client`, awaited."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sized
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from whence import flows
from whence.connection import AT_ONCE, PATIENCE_S, settings, unreachable
from whence.datasets import Upload, name_of, upload_of
from whence.errors import WhenceError
from whence.explanation import AsyncExplanation
from whence.files import new_file
from whence.flows import API, JSON, Ask, Flow, Pause, Tell
from whence.inputs import Given
from whence.problems import check
from whence.progress import bar, still

T = TypeVar("T")
PART = 2**20


class _Parts:
    """What is uploaded, from its beginning each time that it is sent."""

    def __init__(self, upload: Upload) -> None:
        self._file = upload.file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._file.seek(0)
        while part := self._file.read(PART):
            yield part


class AsyncClient:
    """As Client; an explanation's `values` are fetched with it, its pictures are awaited."""

    def __init__(self, url: str | None = None, key: str | None = None, *, patience: float = PATIENCE_S) -> None:
        self.http = httpx.AsyncClient(**settings(url, key))
        self.patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.http.aclose()

    async def explain(
        self,
        model: str,
        input: Given = None,  # noqa: A002  # the word of the API
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        **parameters: Any,
    ) -> AsyncExplanation:
        """As Client.explain. Where its task is cancelled, the work is withdrawn."""
        return await self._explained(flows.explain(flows.request_of(model, method, target, parameters), input))

    async def explain_many(
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
    ) -> AsyncIterator[AsyncExplanation | WhenceError]:
        """As Client.explain_many."""
        asked, left = flows.request_of(model, method, target, parameters), iter(inputs)
        total = len(inputs) if isinstance(inputs, Sized) else None
        running: deque[asyncio.Task[AsyncExplanation]] = deque()
        done = 0
        try:
            with bar("explained", total) if progress else nullcontext(still) as advance:
                while True:
                    while len(running) < at_once and (given := next(left, running)) is not running:
                        running.append(asyncio.create_task(self._explained(flows.explain(asked, given))))
                    if not running:
                        return
                    made = await self._outcome(running[0])
                    running.popleft()
                    advance(done := done + 1, total)
                    if isinstance(made, WhenceError) and not keep_errors:
                        raise made
                    yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _outcome(self, task: asyncio.Task[AsyncExplanation]) -> AsyncExplanation | WhenceError:
        try:
            return await task
        except WhenceError as error:
            return error

    async def _explained(self, ask: Ask) -> AsyncExplanation:
        answer = await self.run(flows.submit(ask, time.monotonic() + self.patience))
        return await self._finished(answer)

    async def _finished(
        self, answer: httpx.Response, latest: float | None = None, tell: Tell = flows.silent
    ) -> AsyncExplanation:
        try:
            finished = await self.run(flows.finish(answer, JSON, latest or time.monotonic() + self.patience, tell))
        except asyncio.CancelledError:
            with suppress(WhenceError):
                await asyncio.shield(self._answered(flows.withdraw(flows.place_of(answer)), timeout=2.0))
            raise
        made = AsyncExplanation(finished.json(), self.fetch, {})
        for name in made.array_names:
            if name == made.kind or name.startswith(f"{made.kind}."):
                await made.array(name)
        return made

    async def send_dataset(self, inputs: Any) -> dict[str, Any]:
        """As Client.send_dataset."""
        with upload_of(inputs) as upload:
            return await self._sent(upload)

    async def _sent(self, upload: Upload) -> dict[str, Any]:
        ask = Ask("POST", f"{API}/datasets", headers={"Content-Type": upload.media}, body={"content": _Parts(upload)})
        answer = await self.run(flows.submit(ask, time.monotonic() + self.patience))
        found: dict[str, Any] = answer.json()
        return found

    async def explain_dataset(
        self,
        model: str,
        inputs: Any,
        method: str | Mapping[str, Any] | None = None,
        target: Any = "argmax",
        *,
        items: tuple[int, int] | None = None,
        progress: bool = True,
        **parameters: Any,
    ) -> AsyncExplanation:
        """As Client.explain_dataset; `download` writes its archive, and `array("means")` the mean maps."""
        if (named := name_of(inputs)) is None:
            with upload_of(inputs, await self.run(flows.columns(model, inputs))) as upload:
                named = str((await self._sent(upload))["digest"])
        asked = flows.request_of(model, method, target, parameters) | {"input": flows.many(named, items)}
        ask = flows.explain(asked, None)
        answer = await self.run(flows.submit(ask, time.monotonic() + self.patience))
        with bar("explained", None) if progress else nullcontext(still) as advance:
            return await self._finished(answer, math.inf, flows.counting(advance))

    async def download(self, path: str, to: str | Path) -> None:
        """Write what is under a path (a link of a document) to a file as it comes. Raises WhenceError."""
        try:
            async with self.http.stream("GET", path) as answer:
                if answer.is_error:
                    await answer.aread()
                check(answer)
                with new_file(to) as file:
                    async for part in answer.aiter_bytes():
                        file.write(part)
        except httpx.TransportError as error:
            raise unreachable(self.http.base_url, error) from None

    async def explanation(self, explanation_id: str) -> AsyncExplanation:
        """As Client.explanation."""
        return await self._finished(
            await self.run(flows.submit(Ask("GET", f"{flows.EXPLANATIONS}/{explanation_id}"), time.monotonic()))
        )

    async def models(self) -> list[dict[str, Any]]:
        """As Client.models."""
        found: list[dict[str, Any]] = (await self.get("/models"))["models"]
        return found

    async def model(self, name: str) -> dict[str, Any]:
        """As Client.model."""
        found: dict[str, Any] = await self.get(f"/models/{name}")
        return found

    async def methods(self) -> list[dict[str, Any]]:
        """As Client.methods."""
        found: list[dict[str, Any]] = (await self.get("/methods"))["methods"]
        return found

    async def get(self, path: str, **query: Any) -> Any:
        """As Client.get."""
        return await self.run(flows.get(path if path.startswith("/api/") else API + path, **query))

    async def fetch(self, path: str, accept: str, **query: Any) -> bytes:
        """As Client.fetch."""
        return await self.run(flows.fetch(path, accept, **query))

    async def run(self, flow: Flow[T]) -> T:
        """As Client.run."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(flow)
                else:
                    step = flow.send(await self._answered(step))
        except StopIteration as end:
            found: T = end.value
            return found

    async def _answered(self, ask: Ask, **options: Any) -> httpx.Response:
        try:
            return await self.http.request(
                ask.method, ask.path, params=dict(ask.params), headers=dict(ask.headers), **ask.body, **options
            )
        except httpx.TransportError as error:
            raise unreachable(self.http.base_url, error) from None
