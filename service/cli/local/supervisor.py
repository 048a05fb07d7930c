"""Keeps child processes running: restarts the dead with back-off, ends all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from service.cli.local.reaper import kill_group

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
QUICK_DEATHS = 5
TAIL_LINES = 15
LONGEST_LINE = 1 << 16

Say: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True)
class Child:
    """A command to keep running; `env` is added to the supervisor's own environment."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class GaveUp(Exception):
    """A child died too often too quickly before all was up; the message holds its last lines."""


@dataclass(eq=False)
class Supervisor:
    """Runs children in process groups of their own, in the order started, and ends them in the reverse order.

    `say(name, line)` prints a line of a child, or of the supervisor. `quick` is the life in seconds under which a
    death counts as quick; `grace` is how long a child may take to end.
    """

    folder: Path
    say: Say
    quick: float = 10.0
    grace: float = 8.0
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _stages: list[dict[asyncio.Task[None], Child]] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    _started: bool = False
    _reaper: asyncio.subprocess.Process | None = None

    def start(self, *children: Child) -> None:
        """Start the children side by side, as one stage."""
        stage = {asyncio.create_task(self._keep(child)): child for child in children}
        for task in stage:
            task.add_done_callback(self._note)
        self._stages.append(stage)

    def end(self) -> None:
        """Ask for the end; asked again, kill at once."""
        if not self.ended.done():
            self.ended.set_result(None)
            return
        for pid in self.running.values():
            kill_group(pid)

    async def run(self, start: Callable[[Supervisor], Awaitable[None]]) -> None:
        """Carry out `start`, which starts the children, then wait for a signal.

        Raises GaveUp, and what `start` raises.
        """
        self._reaper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "service.cli.local.reaper", str(self.folder)),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.end)
        starting = asyncio.ensure_future(start(self))
        try:
            await asyncio.wait({starting, self.ended}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._started = True
            await self.ended
        finally:
            starting.cancel()
            if not self.ended.done():
                self.end()
            await self._stop()

    async def _stop(self) -> None:
        for stage in reversed(self._stages):
            names = {child.name for child in stage.values()}
            for name in names & self.running.keys():
                _terminate(self.running[name])
            _, slow = await asyncio.wait(stage, timeout=self.grace)
            for task in slow:
                if (late := self.running.get(stage[task].name)) is not None:
                    kill_group(late)
            await asyncio.wait(stage)
        assert self._reaper is not None
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        await self._reaper.wait()

    async def _keep(self, child: Child) -> None:
        deaths = 0
        while not self.ended.done():
            born = time.monotonic()
            code, tail = await self._live(child)
            if self.ended.done():
                return
            deaths = deaths + 1 if time.monotonic() - born < self.quick else 1
            if deaths >= QUICK_DEATHS and not self._started:
                raise GaveUp(_obituary(child, code, tail))
            delay = min(FIRST_DELAY * 2 ** min(deaths - 1, 10), LONGEST_DELAY)
            self.say("whence", f"{child.name} ended ({how(code)}); starting it again in {delay:g} s")
            await asyncio.wait({self.ended}, timeout=delay)

    async def _live(self, child: Child) -> tuple[int, deque[str]]:
        """One life of a child: its exit code and its last lines."""
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env={**os.environ, **child.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        self.running[child.name] = process.pid
        self._tell_reaper(f"+{process.pid}")
        if self.ended.done():  # the end came while the process was being made
            _terminate(process.pid)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        reading = asyncio.create_task(self._read(child.name, process.stdout, tail))
        code = await process.wait()
        kill_group(process.pid)
        self._tell_reaper(f"-{process.pid}")
        del self.running[child.name]
        await asyncio.wait({reading}, timeout=1)
        reading.cancel()
        return code, tail

    async def _read(self, name: str, stream: asyncio.StreamReader, tail: deque[str]) -> None:
        async for line in _lines(stream):
            tail.append(line)
            self.say(name, line)

    def _tell_reaper(self, line: str) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.write(f"{line}\n".encode())

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.ended.done():
            self.ended.set_exception(error)


def _terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await stream.read(LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip()
    if rest:
        yield rest.decode(errors="replace").rstrip()


def how(code: int) -> str:
    """How a process ended, in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _obituary(child: Child, code: int, tail: Sequence[str]) -> str:
    last = "\n".join(f"  {line}" for line in tail) or "  (it printed nothing)"
    return f"{child.name} died {QUICK_DEATHS} times in quick succession ({how(code)}); its last lines:\n{last}"
