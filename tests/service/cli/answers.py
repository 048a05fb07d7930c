"""What the tests beside share."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx
from typer.testing import CliRunner

from whence import Client

PNG = b"\x89PNG\r\n\x1a\n"
ID = "ab" * 32
PLACE = f"/api/v1/explanations/{ID}"
ACCEPTED = httpx.Response(202, json={"status": "queued"}, headers={"Location": PLACE})
runner = CliRunner()


class Service:
    """A client whose requests get these answers, one after the other."""

    def __init__(self, *answers: httpx.Response | BaseException) -> None:
        self.left = list(answers)
        self.seen: list[httpx.Request] = []

    def connect(self, url: str = "http://here", patience: float = 60) -> Client:
        client = Client(url, patience=patience)
        client.http = httpx.Client(base_url=url, transport=httpx.MockTransport(self.reply))
        return client

    def reply(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        answer = self.left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def sent(request: httpx.Request) -> dict[str, Any]:
    """The JSON part of a form."""
    part = request.content.partition(b'name="request"\r\n\r\n')[2].partition(b"\r\n--")[0]
    return cast(dict[str, Any], json.loads(part))


def problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json=fields, headers={"Content-Type": "application/problem+json"})
