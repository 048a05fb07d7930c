"""What a running synthesis has made so far: kept by the worker, told by its events, drawn by the service."""

from __future__ import annotations

import io

import httpx
import numpy as np
import pytest
from PIL import Image
from redis import Redis
from safetensors.numpy import save

from service.explanations.event_stream import told
from service.queue.status import Progress, Status
from tests.resources import InMemory, in_memory
from tests.service.fakes import FakeQueue
from tests.toys import batch_of, inputs, model_of, net
from workers.explanation.result import PREVIEW
from workers.explanation.target import ClassTarget
from workers.jobs import keys
from workers.jobs.partials import Partials
from workers.methods.method import parse_method

KEY = "5" * 64
URL = f"/api/v1/explanations/{KEY}/preview.png"


@pytest.mark.parametrize("name", ["activation_maximization", "deep_dream"])
def test_a_synthesis_shows_what_it_has_made_and_makes_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_of(net(), (1, 8, 8), image=True), batch_of(inputs(1), ClassTarget(index=1))
    method = parse_method({"name": name, "steps": 3})
    unseen = method.explain(model, batch).arrays["synthesis"]
    monkeypatch.setattr("workers.engine.data.preview.EVERY_S", 0.0)
    batch.resources = resources = in_memory(inputs(1))
    seen = method.explain(model, batch).arrays["synthesis"]
    np.testing.assert_array_equal(seen, unseen)
    shown = _shown(resources)
    assert shown.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(shown, np.asarray(seen).reshape(1, 1, 8, 8), atol=1e-6)  # of the last step


def _shown(resources: InMemory) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    (found,) = resources.phases[PREVIEW].values()
    return np.asarray(found)


async def test_it_is_drawn_while_the_work_runs_and_only_then(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    progress = Progress(done=3, total=9, unit="steps")
    queue.put(KEY, "running", progress=progress)
    assert (await client.get(URL)).status_code == 404
    queue.previews[KEY] = save({PREVIEW: np.random.default_rng(0).random((2, 1, 8, 8), np.float32)})
    drawn = await client.get(URL)
    assert (drawn.status_code, drawn.headers["cache-control"]) == (200, "no-store")
    assert Image.open(io.BytesIO(drawn.content)).width > 300
    queue.put(KEY, "cancelled")
    assert (await client.get(URL)).status_code == 404


def test_progress_says_where_there_is_something_to_see() -> None:
    progress = Progress(done=3, total=9, unit="steps")
    running = Status(id=KEY, status="running", model="digits", created_at=1.0, started_at=2.0, progress=progress)
    assert "picture" not in told(running, None)[-1].data
    assert told(running, None, URL)[-1].data == {"done": 3, "total": 9, "unit": "steps", "picture": URL}


def test_the_worker_keeps_it_where_the_service_looks(jobs: Redis) -> None:
    Partials(jobs).save(KEY, PREVIEW, {PREVIEW: np.zeros((1, 1, 8, 8), np.float32)})
    assert jobs.hexists(keys.partial(KEY), PREVIEW)
