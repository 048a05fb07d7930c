"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text
from typer.core import TyperGroup

from workers.contract import no_room

WIDE = 400  # columns of a file, or of what another program reads: it wraps nothing

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)

COLOURS = {"whence": "bold", "api": "cyan", "redis": "red", "redis-cache": "magenta"}


def say(name: str, line: str) -> None:
    """Print one line of a child process behind its name."""
    err.print(Text.assemble((f"{name:>11} ", COLOURS.get(name, "green")), line), soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a sentence for people."""
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)


class Commands(TyperGroup):
    """Where a file cannot be read or written, a sentence says which and why."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's context is click's
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            why = "there is no room left on its disk" if no_room(error) else error.strerror or str(error)
            fail(f"{error.filename or 'what was to be written'}: {why}")


DONE: Mapping[str, Any] = {"status": "done"}


@contextmanager
def progress(of: int = 1) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A line on a terminal that follows the status documents which it is told; it is gone afterwards.

    Of several explanations another line counts those that are DONE.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        whole = shown.add_task(f"0 of {of} explanations", total=of, visible=of > 1)
        line = shown.add_task("asking", total=None)
        count = 0

        def tell(told: Mapping[str, Any]) -> None:
            nonlocal count
            if told["status"] == "done":
                count += 1
                shown.update(whole, description=f"{count} of {of} explanations", completed=count)
            elif (far := told.get("progress")) is not None:
                said = f"{far['done']} of {far['total']} {far['unit']}"
                shown.update(line, description=said, completed=far["done"], total=far["total"])
            elif told["status"] == "queued":
                before = told.get("position")
                said = "next in the queue" if before == 0 else "queued" if before is None else f"{before} before it"
                shown.update(line, description=said)
            else:
                shown.update(line, description=told["status"])

        yield tell
