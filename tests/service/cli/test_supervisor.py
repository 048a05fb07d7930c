"""The supervisor keeps children alive, reports the dead, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.local import supervisor as module
from service.cli.local.reaper import alive, read_groups
from service.cli.local.supervisor import Child, GaveUp, Supervisor, how
from tests.patience import PATIENCE_S

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


class Terminal:
    """What was said, by whom."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def say(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def count(self, name: str, line: str) -> int:
        return self.lines.count((name, line))


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


async def test_a_dead_child_is_reported_and_restarted(tmp_path: Path, terminal: Terminal) -> None:
    async def start(it: Supervisor) -> None:
        it.start(Child("sleeper", python(SLEEPER)))
        await until(lambda: terminal.count("sleeper", "up") == 1)
        os.kill(it.running["sleeper"], signal.SIGKILL)
        await until(lambda: terminal.count("sleeper", "up") == 2)
        it.end()

    await Supervisor(tmp_path, terminal.say).run(start)
    assert ("whence", "sleeper ended (killed by SIGKILL); starting it again in 0.5 s") in terminal.lines


async def test_a_child_that_dies_at_once_again_and_again_is_given_up_with_its_last_words(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)

    async def start(it: Supervisor) -> None:
        it.start(Child("bad", python("print('no such file'); raise SystemExit(3)")))
        await asyncio.Event().wait()

    with pytest.raises(GaveUp, match=r"bad died 5 times .*\(exit code 3\)[\s\S]*no such file"):
        await Supervisor(tmp_path, terminal.say).run(start)
    assert terminal.count("bad", "no such file") == 5
    delays = [line.rpartition(" in ")[2] for name, line in terminal.lines if name == "whence"]
    assert delays == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"]


async def test_once_all_was_up_a_child_is_never_given_up(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.02)
    supervisor = Supervisor(tmp_path, terminal.say)

    async def start(it: Supervisor) -> None:
        it.start(Child("bad", python("print('full'); raise SystemExit(3)")))

    async def end() -> None:
        await until(lambda: terminal.count("bad", "full") > 6)
        supervisor.end()

    await asyncio.gather(supervisor.run(start), end())
    delays = [line.rpartition(" in ")[2] for name, line in terminal.lines if name == "whence"]
    assert delays[:6] == ["0.01 s", *["0.02 s"] * 5]


async def test_the_end_ends_all_last_started_first(tmp_path: Path, terminal: Terminal) -> None:
    says_when_ended = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("ended", flush=True), sys.exit()))
        print("up", flush=True); time.sleep(600)
    """

    async def start(it: Supervisor) -> None:
        for name in ("first", "second"):
            it.start(Child(name, python(textwrap.dedent(says_when_ended))))
        await until(lambda: all(terminal.count(name, "up") for name in ("first", "second")))
        it.end()

    await Supervisor(tmp_path, terminal.say).run(start)
    assert [name for name, line in terminal.lines if line == "ended"] == ["second", "first"]


async def test_a_child_that_will_not_end_is_killed_with_its_own_children(tmp_path: Path, terminal: Terminal) -> None:
    stubborn = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("up", flush=True); time.sleep(600)
    """
    pids: list[int] = []

    async def start(it: Supervisor) -> None:
        it.start(Child("stubborn", python(textwrap.dedent(stubborn))))
        await until(lambda: terminal.count("stubborn", "up") == 1)
        pids.append(it.running["stubborn"])
        it.end()

    await Supervisor(tmp_path, terminal.say, grace=0.2).run(start)
    await until(lambda: not alive(pids[0]))


async def test_what_start_raises_ends_everything(tmp_path: Path, terminal: Terminal) -> None:
    pids: list[int] = []

    async def start(it: Supervisor) -> None:
        it.start(Child("sleeper", python(SLEEPER)))
        await until(lambda: terminal.count("sleeper", "up") == 1)
        pids.append(it.running["sleeper"])
        raise GaveUp("no")

    with pytest.raises(GaveUp, match=r"^no$"):
        await Supervisor(tmp_path, terminal.say).run(start)
    assert not alive(pids[0])


async def test_a_line_without_end_is_shown_in_pieces(tmp_path: Path, terminal: Terminal) -> None:
    async def start(it: Supervisor) -> None:
        it.start(Child("long", python("print('x' * 200_000, flush=True); import time; time.sleep(600)")))
        await until(lambda: sum(len(line) for _, line in terminal.lines) == 200_000)
        it.end()

    await Supervisor(tmp_path, terminal.say).run(start)
    assert max(len(line) for _, line in terminal.lines) < 200_000


def test_a_supervisor_killed_outright_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    code = f"""
        import asyncio, pathlib, sys
        from service.cli.local.supervisor import Child, Supervisor
        async def start(it):
            it.start(Child("sleeper", [sys.executable, "-c", {SLEEPER!r}]))
            while "sleeper" not in it.running: await asyncio.sleep(0.02)
            print(it.running["sleeper"], flush=True)
        async def main():
            await Supervisor(pathlib.Path({str(data)!r}), lambda name, line: None).run(start)
        asyncio.run(main())
    """
    with subprocess.Popen(python(textwrap.dedent(code)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert alive(child)
        process.kill()
    patience = time.monotonic() + PATIENCE_S
    while (alive(child) or data.exists()) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not alive(child)
    assert not data.exists()


def test_the_reaper_knows_who_is_left() -> None:
    assert read_groups(["+10\n", "+20\n", "-10\n", "+30\n", "-99\n"]) == {20, 30}


def test_how_a_process_ended_is_said_in_words() -> None:
    assert how(3) == "exit code 3"
    assert how(-9) == "killed by SIGKILL"
