"""How the command line asks a running Whence: by the Python client."""

from __future__ import annotations

import re
import time
from typing import Any, NoReturn

import httpx

from service.cli.console import fail
from whence import Client, Unreachable, WhenceError

HERE = "http://127.0.0.1:8000"
REFUSED, AWAY = 1, 3  # that a command ends with
COMMANDS = (
    (r"GET /api/v1/models/([\w.@-]+)", r"whence models show \1"),
    (r"GET /api/v1/models\b", "whence models"),
    (r"(/docs and )?GET /api/v1/methods(/\{name\})?", "whence methods"),
    (r"POST /api/v1/models/([\w.@-]+)/reload", r"whence models reload \1"),
    (r"POST /api/v1/models/([\w.@-]+)/(un)?load", r"whence models \2load \1"),
    (r"DELETE /api/v1/models/([\w.@-]+)", r"whence models remove \1"),
    (r"PUT /api/v1/models/([\w.@-]+)", r"whence models add FOLDER --name \1"),
    (r"(GET|POST) /api/v1/datasets", "whence explain FOLDER --job"),
)
LAST = ("succeeded", "failed", "cancelled")


def connect(url: str, patience: float = 60) -> Client:
    """Its API key, where it needs one, is in the environment variable WHENCE_KEY."""
    try:
        return Client(url, patience=patience)
    except Unreachable as error:
        give_up(error)


def in_commands(sentence: str) -> str:
    """What the service says of its routes, said of the commands that ask these."""
    for route, command in COMMANDS:
        sentence = re.sub(route, command, sentence)
    return sentence


def found(client: Client, path: str) -> Any:
    """The JSON under a path; None where there is nothing, or no longer. Raises WhenceError."""
    try:
        return client.get(path)
    except Unreachable:
        raise
    except WhenceError:
        return None


def give_up(error: WhenceError) -> NoReturn:
    """End the command with what the service said, in the words of commands."""
    fail(in_commands(str(error)), code=AWAY if isinstance(error, Unreachable) else REFUSED)


def ended(client: Client, place: str, latest: float) -> bool:
    """Wait for the last event of an explanation; False where its events cannot be had, or not to their end."""
    name = ""
    try:
        with client.http.stream("GET", f"{place}/events") as answer:
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                name = value if field == "event" else name
                if (field == "data" and name in LAST) or time.monotonic() > latest:
                    break
    except httpx.TransportError:
        return False
    return name in LAST
