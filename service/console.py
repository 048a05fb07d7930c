"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

COLOURS = {"whence": "bold", "api": "cyan", "redis": "red", "redis-cache": "magenta"}


def say(name: str, line: str) -> None:
    """Print one line of a child process behind its name."""
    err.print(Text.assemble((f"{name:>11} ", COLOURS.get(name, "green")), line), soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a sentence for people."""
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    raise typer.Exit(code)
