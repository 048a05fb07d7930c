"""Works whose inputs are texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.explanation.bundle import File, bundle, digest_inputs
from workers.explanation.target import RankTarget, Target
from workers.explanation.text import digest_text
from workers.jobs.job import Job
from workers.jobs.work import Work
from workers.methods.catalogue import parse_method


def text_work(
    texts: Mapping[str, str] | str, method: Any = "gradient", target: Target | None = None, digest: str = ""
) -> Work:
    """A claimed job about one text, or about several by name."""
    files = {name: File("text", digest_text(one), one.encode()) for name, one in
             ({"input": texts} if isinstance(texts, str) else texts).items()}  # fmt: skip
    several = len(files) > 1
    one = next(iter(files.values()))
    given = digest_inputs(files) if several else one.digest
    job = Job(
        model=digest or "sha256:" + "0" * 64, input=given, target=target or RankTarget(rank=0),
        method=parse_method(method),
    )  # fmt: skip
    data = bundle(files) if several else one.data
    return Work(job.id, job, "toy", 0.0, 0.0, kind="inputs" if several else "text", data=data)
