"""Orders of explanations, for tests of the queue."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.queue.storage import Input
from service.queue.submission import Order
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.jobs import profile
from workers.jobs.job import Job
from workers.jobs.records import Store
from workers.jobs.work import Work
from workers.methods.method import parse_method

MODEL = "sha256:" + "0" * 64


def tensor(value: float = 0.5) -> Input:
    """A 1x8x8 input all of one value."""
    array = np.full((1, 8, 8), value, np.float32)
    return Input(digest_tensor(array), "tensor", encode_npy(array))


def order(index: int = 0, method: object = "gradient", value: float = 0.5, **fields: Any) -> Order:
    """An order for one class of the model."""
    given = tensor(value)
    job = Job(model=MODEL, input=given.digest, target=ClassTarget(index=index), method=parse_method(method))
    return Order(job, "toy", given, **fields)


def work(index: int = 0, method: object = "gradient", value: float = 0.5) -> Work:
    """A claimed order."""
    asked = order(index, method, value)
    assert asked.input is not None
    return Work(asked.job.id, asked.job, "toy", 1.0, 1.5, kind="tensor", data=asked.input.data)


def serving(store: Store, *models: str) -> Store:
    """The store of a worker that serves these models, by default the one of the orders."""
    store.offer(profile.served(models or [MODEL]), ttl=3600)
    return store


def claimed(store: Store, owner: str = "w", serves: str = "interactive,batch") -> list[str]:
    """The ids that a claim takes."""
    return [work.id for work in store.claim("interactive", owner, serves).works]


def a_row(value: float = 1.0) -> Row:
    return Row("attribution", {"attribution": np.full((1, 8, 8), value, np.float32)}, (), {})
