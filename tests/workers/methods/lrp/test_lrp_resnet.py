"""LRP on ResNet20, beside Zennit's stored relevance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.references import SHARED, cifar_test_images, needs_references, program, reference_model
from tests.toys import batch_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.model import Model
from workers.models.folder import read_folder

STORED = [
    "epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "epsilon_gamma_box",
]  # fmt: skip


@needs_references
@pytest.mark.parametrize("preset", STORED)
def test_resnet20_has_zennits_stored_relevance(preset: str) -> None:
    """All 20 images, float64, to 1e-4 of the largest value (16 of them to 2e-6 of their own; sums that nearly cancel
    differ in the rest).

    Zennit 0.5.1 folds batch norm but leaves a normalisation by sqrt(1 + eps) behind, so its stored numbers are those of
    a net whose every batch norm is smaller by that factor. The test gives our engine that very net.
    """
    stored = np.load(SHARED / "data" / "zennit_refs" / "resnet20_cifar10.npz")
    model = left_behind()
    batch = batch_of(cifar_test_images(torch.float64))
    np.testing.assert_allclose(model.outputs(batch).numpy(), stored["logits"], rtol=0, atol=1e-5)
    found = attribution(model, batch, name="lrp", composite=preset).numpy()
    assert np.abs(found - stored[preset]).max() < 1e-4 * np.abs(stored[preset]).max()


def left_behind() -> Model:
    """ResNet-20 with every batch norm divided by sqrt(1 + eps), in float64."""
    shrunk = program("resnet20_cifar10")
    kept = {name: value.clone() for name, value in shrunk.state_dict.items()}
    try:
        for name, value in shrunk.state_dict.items():
            if "bn" in name and name.endswith(("weight", "bias")):
                value.data = value.data.double() * (1 + 1e-5) ** -0.5
        folder = read_folder(SHARED / "models" / "resnet20_cifar10")
        return Model.from_program(folder, shrunk, dtype=torch.float64)
    finally:
        for name, value in shrunk.state_dict.items():
            value.data = kept[name]


@needs_references
def test_resnet20_as_it_is_differs_from_zennits_only_by_what_that_leaves() -> None:
    stored = np.load(SHARED / "data" / "zennit_refs" / "resnet20_cifar10.npz")["epsilon_plus_flat"]
    model = reference_model("resnet20_cifar10")
    found = attribution(model, batch_of(cifar_test_images()), name="lrp").numpy()
    assert np.abs(found - stored).max() < 2e-3 * np.abs(stored).max()
