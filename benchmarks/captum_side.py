"""What people serve today: Captum on the torch module, from the bytes of pictures to the bytes of .npy."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers import SPEC, STEPS
from benchmarks.vision import squeezenet
from workers.explanation.images.decoding import prepare
from workers.runtime.settings import Settings

Explain: TypeAlias = Callable[[Sequence[bytes]], list[bytes]]

INNER = 8  # the best inner batch of integrated gradients on these cores (benchmarks.peers)
NPY = "application/x-npy"


def explainers(inner: int = INNER) -> Mapping[str, Explain]:
    """By the names of our methods, each of a batch of pictures; the target is the class that the model predicts."""
    from captum.attr import IntegratedGradients, Saliency

    torch.set_num_threads(Settings().torch_threads)
    module = squeezenet()
    saliency, integrated = Saliency(module), IntegratedGradients(module)

    def gradient(x: Tensor, classes: Tensor) -> Tensor:
        found: Tensor = saliency.attribute(x.requires_grad_(), target=classes, abs=False)
        return found

    def integrated_gradients(x: Tensor, classes: Tensor) -> Tensor:
        found: Tensor = integrated.attribute(x, target=classes, n_steps=STEPS, internal_batch_size=inner)
        return found

    def explain(of: Callable[[Tensor, Tensor], Tensor], files: Sequence[bytes]) -> list[bytes]:
        x = tensors(files)
        with torch.no_grad():
            classes = module(x).argmax(1)
        return arrays(of(x, classes))

    return {one.__name__: partial(explain, one) for one in (gradient, integrated_gradients)}


def tensors(files: Sequence[bytes]) -> Tensor:
    assert SPEC.image is not None
    return torch.from_numpy(np.stack([prepare(file, SPEC.image, SPEC.shape)[0] for file in files]))


def arrays(rows: Tensor) -> list[bytes]:
    """Each row as .npy; float32 also where Captum's quadrature made doubles."""
    return [_npy(row) for row in rows.detach().float().numpy()]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
