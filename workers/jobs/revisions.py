"""Work of another version of Whence: what its id says it is, and whether this version computes just that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from workers.explanation.errors import ExplainError, RevisionNotServed
from workers.jobs.job import Job


def read(job_id: str, spec: Mapping[str, Any]) -> Job:
    """The job of a record; raises RevisionNotServed where what would be computed is not what the id says.

    A method whose revision differs, that has parameters which one of the two versions does not know, or that is not
    known at all gives another id.
    """
    told = {name: value for name, value in spec.items() if name != "revisions"}
    try:
        job = Job.model_validate(told)
    except (ValidationError, ExplainError, TypeError):
        raise RevisionNotServed(_sentence(spec, "know it not, or not with these parameters")) from None
    if job.id != job_id:
        ours = job.method.revisions()
        have = "have other parameters" if ours == spec.get("revisions") else f"have {_numbers(ours)}"
        raise RevisionNotServed(_sentence(spec, have))
    return job


def _sentence(spec: Mapping[str, Any], have: str) -> str:
    method = spec.get("method")
    name = method.get("name") if isinstance(method, Mapping) else None
    asked = _numbers(spec.get("revisions"))
    return (
        f"this was asked of {name} at {asked} by an API of another version than the workers, which {have}; ask again "
        "once both are of one version"
    )


def _numbers(revisions: Any) -> str:
    return f"revision {', '.join(map(str, revisions))}" if isinstance(revisions, list) else "no revision"
