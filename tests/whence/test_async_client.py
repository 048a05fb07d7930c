"""The client for asyncio says and raises what the blocking one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.patience import PATIENCE_S
from tests.service.fakes import FakeQueue
from tests.whence.test_client import png_of
from whence import AsyncClient, AsyncExplanation, Client, Refused, WhenceError
from workers.contract import digest_image


@pytest.fixture
async def aclient(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url, patience=20) as client:
        yield client


async def test_an_explanation_has_the_same_numbers(aclient: AsyncClient, client: Client, tmp_path: Path) -> None:
    made = await aclient.explain("digits", png_of(), "integrated_gradients", target=1, steps=7)
    other = await asyncio.to_thread(client.explain, "digits", png_of(), "integrated_gradients", 1, steps=7)
    np.testing.assert_array_equal(made.values, other.values)
    assert made.document["id"] == other.id
    assert (await made.array("attribution")) is made.values
    assert "<table>" in made._repr_html_()
    assert (await made.picture()).startswith(b"\x89PNG")
    assert "data:image/png" in made._repr_html_()
    await made.save(tmp_path / "map.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), made.values)
    assert (await aclient.explanation(made.id)).id == made.id
    assert b"sha256" in await made.receipt()


async def test_many_come_in_their_order_and_errors_stand_at_their_place(aclient: AsyncClient) -> None:
    inputs = [png_of(1), b"no image", *(png_of(value) for value in range(2, 9))]
    made = [one async for one in aclient.explain_many("digits", inputs, "gradient", at_once=3, keep_errors=True)]
    assert isinstance(made[1], WhenceError)
    digests = [one.document["input"] for one in made if isinstance(one, AsyncExplanation)]
    assert digests == [digest_image(png_of(value)) for value in range(1, 9)]
    with pytest.raises(Refused):
        _ = [one async for one in aclient.explain_many("digits", inputs, "gradient", progress=False)]


async def test_a_cancelled_task_withdraws_the_work(aclient: AsyncClient, queue: FakeQueue) -> None:
    queue.runs_at_once = False
    task = asyncio.create_task(aclient.explain("digits", png_of(), "gradient"))
    async with asyncio.timeout(PATIENCE_S):
        while not queue.waited:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [key for key, _ in queue.withdrawn] == [queue.orders[0].job.id]


async def test_what_is_there_is_told(aclient: AsyncClient) -> None:
    assert {one["name"] for one in await aclient.models()} == {"digits", "table"}
    assert (await aclient.model("digits"))["name"] == "digits"
    assert len(await aclient.methods()) > 40
