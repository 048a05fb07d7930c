"""Work: what a claim gives a worker to do, as it is read from the jobs Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import orjson

from workers.explanation.bundle import Kind
from workers.explanation.errors import RevisionNotServed
from workers.jobs import keys, revisions
from workers.jobs.job import Job
from workers.jobs.stored_inputs import Fields, inputs_of


@dataclass(frozen=True, slots=True)
class Work:
    """One claimed job with its input: image bytes, .npy bytes, or several in a bundle.

    None where the job has none or it is gone.

    `trace` is the span of the request that created it, as a `traceparent`; `passes` what it was reckoned to take of the
    model, 0 of one that was not, and `cost` the seconds of a worker.
    """

    id: str
    job: Job
    model: str
    created_at: float
    started_at: float
    attempts: int = 1
    kind: Kind | None = None
    data: bytes | None = None
    recompute: bool = False
    request_id: str | None = None
    priority: str = keys.INTERACTIVE
    trace: str | None = None
    passes: int = 0
    cost: float = 0.0


class Dropped(NamedTuple):
    """A job that was too late or too often fatal to be run; `code` is its error's."""

    id: str
    model: str
    method: str
    code: str


class Foreign(NamedTuple):
    """A job that was claimed and is of another version of Whence after all; `error` says why."""

    id: str
    error: RevisionNotServed


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took, whether its bell is to be rung again for what it left, and what it closed unrun.

    `foreign` is held under the same lease as the works, and is not to be run here.
    """

    works: Sequence[Work]
    ring: bool
    dropped: Sequence[Dropped] = ()
    foreign: Sequence[Foreign] = ()


def claim_of(said: bytes, came: Sequence[bytes]) -> Claim:
    """What the script answered: JSON, and behind it of some inputs digest, kind and data."""
    answer, inputs = orjson.loads(said), inputs_of(came)
    works, foreign = [], []
    for raw in answer.get("jobs", []):
        try:
            works.append(_work(raw, inputs))
        except RevisionNotServed as error:
            foreign.append(Foreign(raw["id"], error))
    return Claim(works, answer["ring"], [_dropped(raw) for raw in answer.get("dropped", ())], foreign)


def with_input(work: Work, stored: Fields) -> Work:
    """The work with the input of these fields; without one where there are none."""
    named = cast(Kind, stored[b"kind"].decode()) if stored else None
    return replace(work, kind=named, data=stored.get(b"data"))


def _dropped(raw: dict[str, Any]) -> Dropped:
    method = orjson.loads(raw["spec"])["method"]["name"]
    return Dropped(raw["id"], raw["model"], method, orjson.loads(raw["problem"])["code"])


def _work(raw: dict[str, Any], inputs: Mapping[str, Fields]) -> Work:
    work = Work(
        id=raw["id"],
        job=revisions.read(raw["id"], orjson.loads(raw["spec"])),
        model=raw["model"],
        created_at=float(raw["created_at"]),
        started_at=float(raw["started_at"]),
        attempts=int(raw["attempts"]),
        recompute="recompute" in raw,
        request_id=raw.get("request_id"),
        priority=raw["priority"],
        trace=raw.get("trace"),
        passes=int(raw.get("passes", 0)),
        cost=float(raw.get("cost", 0)),
    )
    return with_input(work, inputs.get(work.job.input or "", {}))
