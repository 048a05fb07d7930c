"""What the tests of held_methods and held_methods_interrupted share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from service.app import create_app
from service.queue.queue import Queue
from service.queue.served import Served
from service.settings import Settings
from tests.orders import work
from tests.toys import inputs
from workers.datasets.card import DatasetCard
from workers.engine.model.model import Model
from workers.explanation.errors import (
    UnknownModel,
)
from workers.jobs.job import Job
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.method import parse_method
from workers.runtime.execute.resources import Stock
from workers.runtime.execute.run import run

X = inputs(10, seed=5)
MASKS = np.arange(10 * 2 * 64).reshape(10, 2, 8, 8) % 5 == 0
BOXES = np.array([[0, 0, 0.5, 1]] * 10, np.float32)


def unnamed(name: str) -> Model:
    raise UnknownModel(f"the model {name} is not served here")


def rates_of(model: Model, x: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """By hand: where the input of each ReLU is positive, and how often."""
    graph = model.folded
    layers = sorted({node.inputs[0] for node in graph.nodes if node.op == "relu"})
    _, values = graph.run(x, layers)
    return {graph.nodes[i].layer: (values[i] > 0).double().mean(0).numpy() for i in layers}


def insens(card: DatasetCard, value: float = 0.5) -> Work:
    return work(method={"name": "insens", "rates": {"name": "activation_rates", "dataset": card.digest}}, value=value)


def state_job(model: Model, card: DatasetCard) -> Job:
    method = parse_method({"name": "activation_rates", "dataset": card.digest})
    return Job(model=model.card.digest, input=None, target=None, method=method)


def explained(works: list[Work], model: Model, stock: Stock) -> list[Finished]:
    found = {each.id: outcome for each, outcome in run(works, lambda _: model, supply=stock.of)}
    outcomes = [found[each.id] for each in works]
    assert all(isinstance(outcome, Finished) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Finished)]


@contextmanager
def served(queue: Queue, model: Model, folder: Path) -> Iterator[httpx.AsyncClient]:
    queue.models = lambda: Served({"toy": model.card}, workers=1)  # type: ignore[method-assign]
    app = create_app(Settings(datasets=folder, log_level="CRITICAL"), queue)
    yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence")
