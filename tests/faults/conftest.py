"""What the fault tests share: houses, and the table of what was survived."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.house import House
from tests.patience import SHARED

TIMES = int(os.environ.get("FAULT_TIMES", "1"))
_tried: dict[str, Tried] = {}


@dataclass
class Tried:
    """What became of one fault, over all times that it was tried."""

    times: int = 0
    survived: int = 0
    fired: int = 0
    jobs: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)


@dataclass
class Fault:
    """A fault under test: say that it fired, which jobs were under way, and when all was well again."""

    tried: Tried
    fired: bool = False
    _since: float = 0.0

    def fire(self) -> None:
        """It strikes now."""
        self.fired = True
        self.tried.fired += 1
        self._since = time.monotonic()

    def gone(self) -> None:
        """What struck is gone: from here it is counted how long it takes until all is well."""
        self._since = time.monotonic()

    def over(self, within: float, jobs: int = 1, lost: int = 0) -> None:
        """All is well again: that many jobs were at stake, and none may be lost.

        `within` is for a machine that does nothing else.
        """
        seconds = time.monotonic() - self._since
        self.tried.seconds.append(seconds)
        self.tried.jobs += jobs
        self.tried.lost += lost
        assert lost == 0
        within *= SHARED
        assert seconds <= within, f"recovered after {seconds:.1f} s, allowed are {within} s"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(str(item.path)).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.faults)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames and TIMES > 1:
        metafunc.parametrize("fault", range(TIMES), indirect=True, ids=[f"time{n + 1}" for n in range(TIMES)])


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """The fault of this test, by the test's first sentence; a test whose fault never fired has shown nothing."""
    name = (request.function.__doc__ or request.function.__name__).strip().partition("\n")[0].rstrip(".")
    tried = _tried.setdefault(name, Tried())
    tried.times += 1
    fault = Fault(tried)
    yield fault
    report = request.node.stash.get(_report, None)
    if report is not None and report.passed:
        assert fault.fired, "the fault never fired"
        tried.survived += 1


_report = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[_report] = report
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    table = Table("fault", "times", "fired", "survived", "jobs", "lost", "recovered in s", title="Faults")
    for name, tried in _tried.items():
        told = f"{median(tried.seconds):.1f} (at most {max(tried.seconds):.1f})" if tried.seconds else ""
        table.add_row(name, *map(str, (tried.times, tried.fired, tried.survived, tried.jobs, tried.lost)), told)
    terminalreporter.write_line("")
    Console(width=150).print(table)


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Houses of this test's own."""
    with ExitStack() as stack:

        def opened(**fields: Any) -> House:
            return stack.enter_context(House(tmp_path / "house", **fields))

        yield opened


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with one worker, for all tests of a file, each of which leaves it healthy."""
    with House(tmp_path_factory.mktemp("house") / "house", options=("--appendonly", "yes")) as house:
        yield house
