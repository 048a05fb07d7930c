"""In process, on SqueezeNet: our lrp against Zennit's, our integrated gradients against Captum's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.places import PHOTOGRAPHS, SQUEEZENET
from benchmarks.side_by_side import Aim, Call, alternate, report
from benchmarks.vision import squeezenet
from workers.card import InputSpec
from workers.engine.batch import Batch
from workers.engine.loading import export_module
from workers.engine.model import Model
from workers.folder import Folder, read_folder
from workers.images import prepare
from workers.method import parse_method
from workers.settings import Settings
from workers.target import ClassTarget

ROUNDS, STEPS = 11, 50
SIZE = (3, 227, 227)
FLOOR = "plain gradient"


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce("in process, SqueezeNet 1.1 at 227: the same photographs, classes and numbers on each side")
    module, x = squeezenet(), pictures(16)
    model = our(module)
    for rows in (1, 16):
        compare_lrp(model, module, x[:rows])
    compare_integrated_gradients(model, module, x[:1])


