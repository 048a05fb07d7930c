"""Carry out a plan at the terminal: print what happens, end with a sentence and an exit code."""

from __future__ import annotations

from collections.abc import Callable

from service.console import fail, out, say
from service.redis_binary import NoRedis
from service.supervisor import GaveUp
from service.up import CannotStart, Plan, check, run


def launch(plan: Plan, on_ready: Callable[[str], None]) -> None:
    """Run a plan until Ctrl-C; `on_ready(url)` is called once. Ends the command with code 1 where it cannot run."""
    try:
        check(plan)
        say("whence", "starting; the first model takes some seconds to load (Ctrl-C ends everything)")
        run(plan, say if plan.verbose else _unless_redis, on_ready)
    except (CannotStart, NoRedis, GaveUp) as error:
        fail(str(error))
    say("whence", "ended")


def greet(url: str) -> None:
    """Say where to look."""
    out.print(f"Whence listens on [bold]{url}[/]  (documentation: {url}/docs, health: {url}/readyz)", soft_wrap=True)


def _unless_redis(name: str, line: str) -> None:
    # Redis greets with a page of advice on kernel settings; its last lines are shown when it dies.
    if not name.startswith("redis"):
        say(name, line)
