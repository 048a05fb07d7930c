"""The Lua scripts: each runs whole or not at all inside Redis, and reads the time there."""

from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

Script: TypeAlias = Literal[
    "attach",
    "charge",
    "claim",
    "due",
    "finish",
    "hand_back",
    "keep_input",
    "leave",
    "offer",
    "oldest",
    "pace",
    "reconcile",
    "renew",
    "report",
    "status",
    "submit",
    "upload",
]
SHARED = ("common", "profiles", "turns", "jobs")  # each builds on those before it


@cache
def source(name: Script) -> str:
    """The text of one script behind what all share."""
    folder = files(__name__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (*SHARED, name))


def async_script(redis: Redis, name: Script) -> AsyncScript:
    """A script to call on this Redis from an event loop."""
    return redis.register_script(source(name))
