"""Requests per second of 1, 8 and 32 clients: Whence, LitServe and a plain handler, each of the in-process ceiling.

Every request carries a picture that was never sent, and asks for .npy; --quick: fewer requests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.captum_side import NPY, arrays, explainers, tensors
from benchmarks.load import PATIENCE_S, Run, Side
from benchmarks.machine import announce
from benchmarks.peers import seconds
from benchmarks.places import MEDIA, PHOTOGRAPHS, ROOT, SQUEEZENET, variants
from benchmarks.serving import Processes, answer, serving
from benchmarks.vision import squeezenet
from service.cli.local.redis_binary import free_port
from workers.engine.model.batch import Batch
from workers.explanation.target import RankTarget
from workers.explanation.tensors import decode_npy
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load_model
from workers.runtime.settings import Settings

QUICK = "--quick" in sys.argv
LIT = ROOT / "out" / "peers"  # of its own: it brings uvloop and httptools, which uvicorn takes wherever they are
WHENCE, LITSERVE, PLAIN = "Whence", "LitServe + Captum, batches of 16", "FastAPI + Captum in a threadpool"
AIM = 0.85
CEILING_S = 1 if QUICK else 3
# Requests by clients at once; the seconds that they take differ by a factor of 40.
LOADS = {
    "gradient": {1: 15, 8: 64, 32: 160} if QUICK else {1: 40, 8: 160, 32: 384},
    "integrated_gradients": {1: 4, 8: 8, 32: 32} if QUICK else {1: 8, 8: 24, 32: 64},
}
ROWS = {"gradient": (4, 8, 16, 32), "integrated_gradients": (1, 4, 8)}

Explain = Callable[[Sequence[bytes]], list[bytes]]


@dataclass(frozen=True)
class Ceiling:
    """The best implementation in this process, from file to .npy, at its best batch size."""

    explain: Explain
    rows: int

    def run(self) -> Run:
        """Some seconds of it."""
        files, each = pictures(self.rows, seed=self.rows), [0.0]
        while sum(each) < CEILING_S:
            each.append(seconds(lambda: self.explain(files)))
        return Run(sum(each), each[1:] * self.rows)


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce("throughput, SqueezeNet at 227 x 227, a process that computes on every side; .npy back")
    ceilings = {method: ceiling(method) for method in LOADS}
    with sides() as servers:
        for method, loads in LOADS.items():
            agree(servers, method)
            for clients, number in loads.items():
                compare(servers, method, clients, number, ceilings[method])


def compare(servers: Sequence[Side], method: str, clients: int, number: int, ceiling: Ceiling) -> None:
    """Two turns, the other way round in the second, the ceiling between them; the verdicts are on the rates."""
    turns: dict[str, list[Run]] = {side.name: [] for side in servers}
    beside = [ceiling.run()]
    half = max(clients, number // 2)
    for turn, order in enumerate((servers, servers[::-1])[: number // half]):
        files = pictures(half, seed=hash((method, clients, turn)) % 2**32)
        for side in order:
            turns[side.name].append(side.run(method, files, clients))
        beside.append(ceiling.run())
    most = together(beside).rate
    runs = {name: together(some) for name, some in turns.items()}
    title = f"{method}, {clients} client{'s' * (clients > 1)}, {number} requests"
    print(f"\n   {title:48} {'req/s':>8} {'p50':>12} {'p99':>12} {'ceiling':>7}")
    for name, run in runs.items():
        print(run.told(name, most))
    told = ", ".join(f"{run.rate:.2f}" for run in beside)
    print(f"   the ceiling before, between and after: {told} pictures/s")
    mine = runs[WHENCE].rate
    if clients == 32:
        verdict(f"at least {AIM} of the ceiling", mine / most, AIM)
    best = max((run.rate, name) for name, run in runs.items() if name != WHENCE)
    verdict(f"ahead of {best[1]}", mine / best[0], 1.0)


def together(runs: Sequence[Run]) -> Run:
    return Run(sum(run.seconds for run in runs), [each for run in runs for each in run.each])


def verdict(aim: str, ratio: float, least: float) -> None:
    print(f"   aim  {WHENCE} {aim}: {ratio:.2f}, {'met' if ratio >= least else 'MISSED'}")


def pictures(number: int, seed: int) -> list[bytes]:
    """New files of all the photographs in turn."""
    each = -(-number // len(PHOTOGRAPHS))
    made = [variants(picture, seed + i, each) for i, picture in enumerate(PHOTOGRAPHS)]
    return list(islice((file for files in zip(*made, strict=True) for file in files), number))


def agree(servers: Sequence[Side], method: str) -> None:
    """A race between different numbers would mean nothing; this also warms each side up, alone and in full batches.

    A heap that still grows has its pages faulted in, which some machines take 2 ms a picture for.
    """
    one, *others = [decode_npy(side.first(method, PHOTOGRAPHS[0].read_bytes())) for side in servers]
    for side, other in zip(servers[1:], others, strict=True):
        gap = float(np.abs(one - other).max() / np.abs(one).max())
        assert gap < 1e-2, f"{side.name} differs by {gap:.1e} of the largest value"
    for side in servers:
        side.run(method, pictures(128 if method == "gradient" else 2, seed=len(method)), 32)


def ceiling(method: str) -> Ceiling:
    """The best of the implementations, each at its best batch size."""
    candidates: dict[str, Explain] = {"Whence's method": whence(method), "Captum": explainers()[method]}
    if method == "gradient":
        candidates["plain torch, one pass"] = plain_gradient()
    found: list[tuple[float, str, Ceiling]] = []
    for name, explain in candidates.items():
        for rows in ROWS[method]:
            one = Ceiling(explain, rows)
            explain(pictures(rows, seed=rows))
            found.append((one.run().rate, name, one))
    rate, name, best = max(found, key=lambda one: one[0])
    print(f"   ceiling of {method}: {rate:.2f} pictures/s, {name}, batches of {best.rows}")
    return best


def whence(method: str) -> Explain:
    model, wanted = load_model(read_folder(SQUEEZENET)), parse_method(method)

    def explain(files: Sequence[bytes]) -> list[bytes]:
        batch = Batch(tensors(files), [RankTarget(rank=0)] * len(files), [0] * len(files), once=True)
        found = wanted.explain(model, batch)
        model.prediction(batch)
        return arrays(torch.as_tensor(found.arrays["attribution"]))

    return explain


def plain_gradient() -> Explain:
    module = squeezenet()

    def explain(files: Sequence[bytes]) -> list[bytes]:
        x: Tensor = tensors(files).requires_grad_()
        return arrays(torch.autograd.grad(module(x).max(1).values.sum(), x)[0])

    return explain


@contextmanager
def sides() -> Iterator[list[Side]]:
    """The three servers, each in processes of its own; one that is not asked computes nothing."""
    if not LIT.is_dir():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(LIT), "litserve==0.2.19"]
        subprocess.run([*install, "--constraint", str(ROOT / "constraints.txt")], check=True)
    os.environ["WHENCE_LONGEST_WAIT"] = str(PATIENCE_S)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="whence-peers-")))
        processes = stack.enter_context(Processes(folder / "log"))
        lit, plain = free_port(), free_port()
        lit_group = processes.start(
            [sys.executable, "-m", "benchmarks.lit_handler", str(lit)], {"PYTHONPATH": f"{LIT}:{ROOT}"}
        )
        factory = ["--factory", "benchmarks.plain_handler:create_app", "--no-access-log", "--log-level", "warning"]
        plain_group = processes.start([sys.executable, "-m", "uvicorn", *factory, "--port", str(plain)])
        service = stack.enter_context(serving([SQUEEZENET]))
        for port in (lit, plain):
            processes.await_that(lambda: answer(port, "/openapi.json") is not None)  # noqa: B023
        headers = {"accept": NPY, "prefer": f"wait={PATIENCE_S}", "content_type": MEDIA[PHOTOGRAPHS[0].suffix]}
        ours = f"/api/v1/explanations?model={SQUEEZENET.name}&method="
        raw = {"content_type": "application/octet-stream"}
        yield [
            Side(WHENCE, service.port, lambda method: ours + method, headers),
            Side(LITSERVE, lit, lambda method: f"/{method}", raw, lit_group),
            Side(PLAIN, plain, lambda method: f"/{method}", raw, plain_group),
        ]


if __name__ == "__main__":
    main()
