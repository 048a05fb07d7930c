"""A job says what it is computed in: in its id, and in who may take it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import MODEL, claimed, order
from workers.explanation.card import Precision
from workers.explanation.errors import ModelNotServed
from workers.jobs import profile
from workers.jobs.job import Job
from workers.jobs.records import Store


def in_precision(precision: Precision, index: int = 0) -> Order:
    found = order(index)
    fields = {name: getattr(found.job, name) for name in Job.model_fields}
    return replace(found, job=Job(**{**fields, "precision": precision}))


def serving(jobs: Redis, *precisions: Precision) -> Store:
    store = Store(jobs)
    store.offer(profile.served([MODEL], precisions), ttl=3600)
    return store


def test_each_precision_has_ids_of_its_own_and_float32_those_that_it_had() -> None:
    plain, tf32, short = (in_precision(one).job for one in ("float32", "tf32", "bfloat16"))
    assert len({plain.id, tf32.id, short.id}) == len({plain.group, tf32.group, short.group}) == 3
    assert plain.id == order().job.id
    assert "precision" not in plain.canonical()
    assert short.canonical()["precision"] == "bfloat16"
    assert Job.model_validate({**plain.model_dump(), "precision": "bfloat16"}).id == short.id


async def test_a_worker_leaves_what_it_does_not_compute_in(queue: Queue, jobs: Redis) -> None:
    """One of float32 leaves bfloat16; one of bfloat16 takes both, each as it is asked."""
    plain, short = in_precision("float32"), in_precision("bfloat16", 1)
    await queue.submit([plain])
    await queue.submit([short])
    of_float32, of_both = serving(jobs, "float32"), serving(jobs, "float32", "bfloat16")
    assert claimed(of_float32) == [plain.job.id]
    assert claimed(of_float32) == []
    (work,) = of_both.claim("interactive", "w").works
    assert (work.id, work.job.precision) == (short.job.id, "bfloat16")


async def test_what_no_worker_computes_in_says_so(queue: Queue, jobs: Redis) -> None:
    short = in_precision("bfloat16")
    await queue.submit([short])
    store = serving(jobs, "float32", "tf32")
    why = store._unserved("toy", " ".join(profile.needs(short.job)))
    assert isinstance(why, ModelNotServed)
    assert "in bfloat16, and none came; start one with WHENCE_PRECISION=bfloat16" in why.detail
    with pytest.raises(ValueError, match="precision"):
        Job.model_validate({**short.job.model_dump(), "precision": "float16"})
