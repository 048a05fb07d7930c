"""The Lua scripts: each runs whole or not at all inside Redis, and reads the time there."""

from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

Script: TypeAlias = Literal["claim", "finish", "hand_back", "reconcile", "renew", "status", "submit"]


@cache
def source(name: Script) -> str:
    """The text of one script behind what all share."""
    folder = files(__name__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
