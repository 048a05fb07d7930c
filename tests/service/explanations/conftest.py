"""Fixtures of the tests in this folder."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from service.explanations import webhooks
from tests.service.explanations.counting import Counted


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "POLL_S", 0.01)
    monkeypatch.setattr(webhooks, "RETRIES_S", (0.01,) * 5)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts the calls of a name of a module, by the thread that each came from."""

    def count(module: object, name: str) -> list[str]:
        calls: list[str] = []
        real = getattr(module, name)

        def noted(*args: Any, **more: Any) -> Any:
            calls.append(threading.current_thread().name)
            return real(*args, **more)

        monkeypatch.setattr(module, name, noted)
        return calls

    return count
