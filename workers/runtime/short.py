"""Which works are short: they run beside others."""

from __future__ import annotations

from collections.abc import Sequence

from workers.jobs.profile import models_of
from workers.jobs.records import SHORT
from workers.jobs.work import Work
from workers.methods.cost import passes


def short(works: Sequence[Work]) -> bool:
    """Whether works of one group are a few passes over their inputs, need nothing else, and killed no worker yet."""
    job = works[0].job
    if not job.method.takes_input or job.method.inner() or "dataset" in job.method.needs or len(models_of(job)) > 1:
        return False
    return all(one.attempts == 1 and not one.recompute and passes(job.method, one.passes) <= SHORT for one in works)
