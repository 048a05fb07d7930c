"""A bar that counts on a terminal or in a notebook, and says nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], None]


def still(_: int) -> None:
    """Told how many more are done, it shows nothing."""


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Advance]:
    """Call it with how many more are done; it is gone afterwards."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    quiet = not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, transient=True, disable=quiet) as shown:
        line = shown.add_task(what, total=total)
        yield lambda more: shown.advance(line, more)
