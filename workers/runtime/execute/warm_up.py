"""Importing this makes the card of a small net, so that methods have imported all that they need to say what fits.

For the process that others are forked from: what it has done, none of them does again. It starts no thread.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.spec import ModelSpec
from workers.models.export.program import export_module
from workers.runtime.execute.model_support import with_support


def _ready() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)).eval().requires_grad_(False)
    spec = ModelSpec("small", "sha256:0", "logits", InputSpec(shape=(1, 4, 4)), (), "gradient", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_support(Model.from_program(spec, export_module(net, (1, 4, 4), "a small net")))
    torch.set_num_threads(threads)


_ready()
