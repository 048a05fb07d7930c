"""The lines of the log: JSON whoever writes them, with what is bound, without what clients sent."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.tree import ROOT

SAID = """
import logging, sys, structlog
from workers.telemetry import log

log.configure({level!r}, as_json={as_json})
log.adopt({level!r}, as_json={as_json})
ours = structlog.get_logger()

def fails(sent_by_a_client):
    raise ValueError("no")

with structlog.contextvars.bound_contextvars(request_id="r1"):
    ours.debug("quiet")
    ours.info("ours", count=1)
    logging.getLogger("uvicorn.error").warning("theirs %s", 2)
    logging.getLogger("celery.app.trace").info("two lines a ring")
    try:
        fails("secret" * 3)
    except ValueError:
        ours.exception("failed")
"""


def said(level: str, as_json: bool) -> list[str]:
    script = SAID.format(level=level, as_json=as_json)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_ours_and_theirs_are_json_with_what_is_bound() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in said("info", True)]
    assert [line["event"] for line in lines] == ["ours", "theirs 2", "failed"]
    assert {line["request_id"] for line in lines} == {"r1"}
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ValueError: no" in lines[2]["exception"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_does_not_hold_what_clients_sent(as_json: bool) -> None:
    assert "secretsecret" not in "".join(said("info", as_json)).replace('fails("secret" * 3)', "")


def test_a_level_holds_for_theirs_too() -> None:
    assert [json.loads(line)["event"] for line in said("error", True)] == ["failed"]
