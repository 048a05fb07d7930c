"""A bar that counts on a terminal or in a notebook, and says nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Advance: TypeAlias = Callable[[int, int | None], None]


def still(_: int, __: int | None) -> None:
    """Told how many are done, and of how many, it shows nothing."""


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Advance]:
    """Call it with how many are done, and of how many; it is gone afterwards."""
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
        yield lambda done, of: shown.update(line, completed=done, total=of or total)
