"""How many rows a request holds: what the card says, what numbers allow, and what the server takes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from numpy.typing import NDArray

from tests.workers.models.servers.fake_predictor import Fake, Reply, served
from workers.engine.model.function import Function
from workers.explanation.errors import PredictorFailed
from workers.models.folder import read_folder
from workers.models.loading import load
from workers.models.remote import protocols


def loaded(folder: Path, fake: Fake) -> Function:
    card = {"model": {"source": fake.address}, "input": {"shape": [3]}, "remote": {"timeout": 60.0}}
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    return load(read_folder(folder))


def sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows @ np.ones((3, 1))


@pytest.mark.parametrize("most", [1, 4])
def test_a_server_that_refuses_many_rows_is_sent_fewer(most: int, tmp_path: Path) -> None:
    """As Triton's max_batch_size does, or a limit of the body at an ingress."""
    with served(Fake(sums)) as fake:

        def full(number: int, reply: Reply) -> None:
            if fake.rows[number] > most:
                reply.status, reply.body = 400, json.dumps({"error": "batch-size must be <= 4"}).encode()

        fake.fault = full
        model = loaded(tmp_path, fake)
        x = torch.arange(300.0).view(100, 3)
        torch.testing.assert_close(model.forward(x), x.sum(1, keepdim=True))
        tried = len(fake.asked)
        model.forward(x)
        assert max(fake.rows[tried:]) <= most  # what was refused once is not tried again


def test_a_server_that_refuses_one_row_is_told_of(tmp_path: Path) -> None:
    with served(Fake(sums)) as fake:
        model = loaded(tmp_path, fake)

        def wrong(_: int, reply: Reply) -> None:
            reply.status, reply.body = 400, json.dumps({"error": "no such column"}).encode()

        fake.fault = wrong
        with pytest.raises(PredictorFailed, match="answers 400: no such column"):
            model.forward(torch.zeros(4, 3))


def test_a_request_holds_no_more_numbers_than_a_server_may_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large rows few go together, whatever is quick."""
    monkeypatch.setattr(protocols, "MOST_NUMBERS", 60)
    with served(Fake(sums)) as fake:
        loaded(tmp_path, fake).forward(torch.zeros(100, 3))
        assert max(fake.rows) <= 20


def test_however_long_the_way_many_rows_share_it(tmp_path: Path) -> None:
    """A request that takes long whatever it holds: as behind an ingress, or on a machine that is busy just then."""
    with served(Fake(sums)) as fake:
        model = loaded(tmp_path, fake)
        fake.fault = lambda *_: time.sleep(0.1)
        model.forward(torch.zeros(2, 3))
        tried = len(fake.asked)
        model.forward(torch.zeros(8000, 3))
        assert len(fake.asked) - tried == 2


def test_a_server_that_gains_nothing_by_many_rows_is_sent_few(tmp_path: Path) -> None:
    """So that progress is told of."""
    with served(Fake(sums)) as fake:
        model = loaded(tmp_path, fake)
        fake.fault = lambda number, _: time.sleep(0.13 * fake.rows[number])
        model.forward(torch.zeros(2, 3))
        tried = len(fake.asked)
        model.forward(torch.zeros(12, 3))
        assert max(fake.rows[tried:]) <= 4


def test_rows_that_are_larger_than_those_measured_are_cut_in_two(tmp_path: Path) -> None:
    """The limit of a body is of bytes, and numbers have more or fewer digits."""
    with served(Fake(sums)) as fake:
        model = loaded(tmp_path, fake)
        model.forward(torch.zeros(2, 3))

        def large(number: int, reply: Reply) -> None:
            if len(fake.asked[number]) > 2000:
                reply.status, reply.body = 413, b"<html>413 Request Entity Too Large</html>"

        fake.fault = large
        x = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model.forward(x), x.sum(1, keepdim=True))


def test_a_server_that_was_busy_while_it_was_measured_is_sent_more_later(tmp_path: Path) -> None:
    with served(Fake(sums)) as fake:
        model = loaded(tmp_path, fake)
        fake.fault = lambda *_: time.sleep(0.6)
        model.forward(torch.zeros(2, 3))
        assert max(fake.rows) <= 4
        fake.fault = None
        for _ in range(40):
            model.forward(torch.zeros(300, 3))
            if max(fake.rows) == 300:
                return
        raise AssertionError(fake.rows)
