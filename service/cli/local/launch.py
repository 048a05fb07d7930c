"""Carry out a plan at the terminal: print what happens, end with a sentence and an exit code."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address

import httpx
from rich.text import Text

from service.cli.console import err, fail, out, say
from service.cli.local.redis_binary import NoRedis
from service.cli.local.supervisor import GaveUp
from service.cli.local.up import CannotStart, Plan, check, run

OPEN_TO_ALL = (
    "WARNING: Whence will listen on {host} without API keys: whoever reaches this machine can use it, read what others "
    "explained, and change its data sets. Make a key (whence keys add NAME --admin) and set WHENCE_KEYS=keys.json."
)


def inside(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def launch(plan: Plan, on_ready: Callable[[str], None]) -> None:
    """Run a plan until Ctrl-C; `on_ready(url)` is called once. Ends the command with code 1 where it cannot run."""
    try:
        check(plan)
        if not (inside(plan.host) or os.environ.get("WHENCE_KEYS")):
            err.print(OPEN_TO_ALL.format(host=plan.host), style="bold red", soft_wrap=True)
        say("whence", "starting; the first model takes some seconds to load (Ctrl-C ends everything)")
        run(plan, say if plan.verbose else _unless_redis, on_ready)
    except (CannotStart, NoRedis, GaveUp) as error:
        fail(str(error))
    say("whence", "ended")


def greet(url: str) -> None:
    """Say where to look, and which models cannot be served: of each what is missing, in one line."""
    out.print(f"Whence listens on [bold]{url}[/]  (documentation: {url}/docs, health: {url}/readyz)", soft_wrap=True)
    try:
        told = httpx.get(f"{url}/readyz", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return  # it has just answered, and is watched
    for name, reason in told.get("failed", {}).items():
        err.print(Text.assemble((f"{name} cannot be served: ", "bold red"), reason or ""), soft_wrap=True)


def _unless_redis(name: str, line: str) -> None:
    # Redis greets with a page of advice on kernel settings; its last lines are shown when it dies.
    if not name.startswith("redis"):
        say(name, line)
