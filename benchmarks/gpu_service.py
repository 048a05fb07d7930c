"""A service on the device beside the device alone: pictures a second, of a folder and pictures that are made here."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np
import tomli_w
import torch
from PIL import Image
from torch import nn

from benchmarks.captum_side import NPY
from benchmarks.load import PATIENCE_S, Side
from benchmarks.peers import SPEC, whence
from benchmarks.serving import serving
from workers.engine.model.model import Model
from workers.models.export.program import export_module

NAME = "squeezenet"
CEILING_S = 4.0
AIM = {"integrated_gradients": 0.9, "smooth_grad": 0.9, "lrp": 0.9}  # a gradient is less than what a request costs
WAIT = "WHENCE_LONGEST_WAIT"


def served(module: nn.Module, model: Model, methods: Mapping[str, Any], clients: int, requests: int) -> Iterator[str]:
    """Lines of a table: each method by so many clients at once, and what of the device's own rate that is."""
    yield f"\nA service, {clients} clients at once, new pictures, .npy back, beside the device at its best batch:\n"
    yield "| | requests/s | p50 | p99 | pictures/s of the device | of that | aim |\n|---|---|---|---|---|---|---|"
    os.environ |= {"WHENCE_DEVICE": str(model.device), WAIT: str(PATIENCE_S)}
    with TemporaryDirectory(prefix="whence-gpu-") as place, serving([folder(module, Path(place) / NAME)]) as service:
        headers = {"accept": NPY, "prefer": f"wait={PATIENCE_S}", "content_type": "image/png"}
        side = Side("Whence", service.port, lambda asked: f"/api/v1/explanations?model={NAME}&{asked}", headers)
        for number, (name, method) in enumerate(methods.items()):
            rest = {} if isinstance(method, str) else {key: one for key, one in method.items() if key != "name"}
            asked = f"method={name}&parameters={quote(json.dumps(rest))}"
            side.run(asked, pictures(clients, 1000 + number), clients)  # the first batches, which measure
            run = side.run(asked, pictures(requests, number), clients)
            most = ceiling(model, method, clients)
            p50, p99 = (1e3 * float(np.quantile(run.each, at)) for at in (0.5, 0.99))
            told = f"{run.rate:.1f} | {p50:.0f} ms | {p99:.0f} ms | {most:.1f} | {run.rate / most:.2f}"
            yield f"| {name} | {told} | {AIM.get(name, '')} |"


def folder(module: nn.Module, place: Path) -> Path:
    """A model's folder of the module."""
    place.mkdir()
    torch.export.save(export_module(module, SPEC.shape, NAME), place / "model.pt2")
    card = {
        "model": {"source": "model.pt2", "output": "logits"},
        "input": SPEC.model_dump(mode="json", exclude_unset=True),
    }
    (place / "card.toml").write_text(tomli_w.dumps(card))
    return place


def pictures(number: int, seed: int) -> list[bytes]:
    """So many files, of smooth noise: none was seen before."""
    source, files = np.random.default_rng(seed), []
    for coarse in source.integers(0, 256, (number, 12, 12, 3), dtype=np.uint8):
        file = io.BytesIO()
        Image.fromarray(coarse).resize((227, 227)).save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    return files


def ceiling(model: Model, method: Any, most: int) -> float:
    """Pictures a second of the method on the device, from inputs that lie there, at the best of several batches."""
    rates = []
    for rows in sorted({1, max(1, most // 4), most}):
        x = torch.randn(rows, *SPEC.shape, generator=torch.Generator().manual_seed(0)).mul_(60).to(model.device)
        call = whence(model, method, x, torch.zeros(rows, dtype=torch.int64))
        call()
        began, turns = time.perf_counter(), 0
        while turns < 2 or (time.perf_counter() - began < CEILING_S and turns < 20):
            torch.as_tensor(call()).cpu()
            turns += 1
        rates.append(rows * turns / (time.perf_counter() - began))
    return max(rates)
