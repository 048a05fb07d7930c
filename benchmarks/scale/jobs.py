"""The jobs of a fake engine, which is a sleep of 20 ms: no two share a pass."""

from __future__ import annotations

import numpy as np
from redis import Redis

from service.queue import connection, submission
from service.queue.storage import Input
from service.queue.submission import Order
from workers.explanation.target import ClassTarget
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.jobs import keys
from workers.jobs.job import Job
from workers.jobs.stored_results import Finished
from workers.methods.method import parse_method

ENGINE_S = 0.02
GRADIENT = parse_method("gradient")
X = np.zeros((1, 8, 8), np.float32)
GIVEN = Input(digest_tensor(X), "tensor", encode_npy(X))
MADE = Finished({"id": "", "receipt": {}, "text": "x" * 1500}, {"attribution": encode_npy(X)})
DONE = "benchmark:done"


def patient(rows: int) -> None:
    """In this process the API waits longer for Redis, and so many jobs may share a pass."""
    vars(submission)["rows_per_batch"] = lambda *_: rows
    connection.ANSWER_S = connection.WAIT_S = 30.0


def model(number: int) -> str:
    return f"sha256:{number:064x}"


def order(number: int, of: int = 0, caller: str = "") -> Order:
    """A job that nobody else asks for; it shares no pass with another."""
    job = Job(model=model(of), input=GIVEN.digest, target=ClassTarget(index=number), method=GRADIENT)
    return Order(job, f"m{of}", GIVEN, caller=caller, cost=ENGINE_S)


def done(jobs: Redis) -> int:
    """How many jobs the workers have finished."""
    return int(jobs.get(DONE) or 0)


def waiting(jobs: Redis) -> int:
    """How many jobs wait."""
    return int(jobs.hget(keys.depth(keys.INTERACTIVE), "jobs") or 0)
