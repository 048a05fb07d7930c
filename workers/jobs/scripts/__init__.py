"""The Lua scripts: each runs whole or not at all inside Redis, and reads the time there."""

from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

Script: TypeAlias = Literal[
    "attach",
    "charge",
    "claim",
    "due",
    "finish",
    "hand_back",
    "keep_input",
    "leave",
    "oldest",
    "pace",
    "reconcile",
    "renew",
    "report",
    "status",
    "submit",
]
SHARED = ("common", "turns", "jobs")  # each builds on those before it


@cache
def source(name: Script) -> str:
    """The text of one script behind what all share."""
    folder = files(__name__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (*SHARED, name))
