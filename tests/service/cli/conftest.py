"""Fixtures of the tests in this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.cli import explain, job, models, status, verify
from tests.service.cli.answers import PNG, Service


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """Let the service give these answers; returns the requests it gets."""

    def serve(*answers: httpx.Response | BaseException) -> list[httpx.Request]:
        service = Service(*answers)
        for module in (explain, job, models, status, verify):
            monkeypatch.setattr(module, "connect", service.connect)
        return service.seen

    return serve


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "7.png"
    path.write_bytes(PNG)
    return path
