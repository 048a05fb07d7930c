"""Importing this exports and reads back a net of one layer, so that torch has imported all that it needs for another.

It also looks once at which distributions are installed, which digests name.

For the process that others are forked from: what it has done, none of them does again. It starts no thread.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import nn

from workers.models.code_digest import distributions
from workers.models.export.program import export_module


def _ready() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = io.BytesIO()
        torch.export.save(export_module(nn.Linear(2, 1), (2,), "a net of one layer"), out)
        out.seek(0)
        torch.export.load(out)
    torch.set_num_threads(threads)


_ready()
distributions()
