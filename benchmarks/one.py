"""A lone request for something new against the same method called in process, on the same pictures."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import orjson
import torch

from benchmarks.machine import announce
from benchmarks.places import CASES, MEDIA, variants
from benchmarks.serving import serving
from benchmarks.side_by_side import Aim, alternate, report
from benchmarks.wire import Wire, request
from workers.engine.model.batch import Batch
from workers.explanation.images.decoding import prepare
from workers.explanation.target import RankTarget
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load_model
from workers.runtime.settings import Settings

ROUNDS, WARMUP = 41, 5
METHODS = ("gradient", "lrp")
HERE = "called in process"
THERE = "a request, a cache miss"


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce("a lone request for what was never asked: one client, .npy; both sides begin with the picture's file")
    with serving([model for model, _ in CASES.values()]) as service:
        wire = Wire(service.port)
        for name, (folder, picture) in CASES.items():
            for seed, method in enumerate(METHODS):
                files = variants(picture, seed, ROUNDS + WARMUP)
                explain, ask = in_process(folder, method), Asked(wire, folder.name, method, MEDIA[picture.suffix])
                mine, theirs = iter(files), iter(files)
                calls = {HERE: lambda: explain(next(mine)), THERE: lambda: ask(next(theirs))}  # noqa: B023
                taken = alternate(calls, ROUNDS, WARMUP)
                report(f"{method}, {name}", taken, HERE, [Aim(THERE, HERE, more=0.02)])
                print(ask.told(taken[THERE]))


def in_process(folder: Path, method: str) -> Callable[[bytes], object]:
    """From a picture's file to its attribution, as a program of the user's own would do it."""
    model, wanted = load_model(read_folder(folder)), parse_method(method)
    spec = model.card.input
    assert spec.image is not None
    image = spec.image

    def explain(file: bytes) -> object:
        x, _ = prepare(file, image, spec.shape)
        return wanted.explain(model, Batch(torch.from_numpy(x[None]), [RankTarget(rank=0)], [0], once=True)).rows()

    return explain


class Asked:
    """Requests for new explanations by one client, and where their time went."""

    def __init__(self, wire: Wire, model: str, method: str, media: str) -> None:
        self.wire = wire
        self.path = f"/api/v1/explanations?model={model}&method={method}"
        self.headers = {"content_type": media, "accept": "application/x-npy", "prefer": "wait=30"}
        self.places: list[str] = []

    def __call__(self, file: bytes) -> None:
        answer = self.wire.ask(request("POST", self.path, file, **self.headers))
        assert (answer.status, answer.headers["cache-status"]) == (200, "whence; fwd=miss; stored"), answer
        self.places.append(answer.headers["content-location"])

    def told(self, seconds: list[float]) -> str:
        """What the service itself says of the requests that took so long: waiting in the queue, computing."""
        timings = [orjson.loads(self.wire.ask(request("GET", place)).body)["timing"] for place in self.places[WARMUP:]]
        queued, computed = (
            statistics.median(timing[f"{part}_ms"] for timing in timings) for part in ("queued", "computed")
        )
        rest = statistics.median(seconds) * 1e3 - queued - computed
        return f"   of a request: {queued:.1f} ms in the queue, {computed:.1f} ms computing, {rest:.1f} ms the rest"


if __name__ == "__main__":
    main()
