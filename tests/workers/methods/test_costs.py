"""What methods say they cost is what they take: real passes through the model are counted beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input, with_series
from tests.toys import batch_of, inputs, model_of
from tests.workers.methods.test_laws import SERIES, taken, toys
from workers.engine.graph.graph import Graph
from workers.engine.graph.tape import Tape
from workers.engine.model.model import Model
from workers.engine.perturbation.windows import windows
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import catalogue, parse_method
from workers.methods.cost import MAX_PASSES, passes, rows_per_batch
from workers.methods.extent import Extent
from workers.runtime.execute.model_support import support

COUNTS = {"training": 16, "concept": 30, "random": 60}
DATA = {"dataset": "training"}
FEW = 4  # passes that are not told: of the input itself, of a baseline, of a rank that is looked up
BOUNDS = {
    "insens",
    "simple_taylor",
    "minimal_deletion",
    "mc_dropout",
    "pixel_flipping",
    "ssa",
    "counterfactual",
    "bilrp",
}
"""What says the most that it may take: it stops early, asks equal questions once, or walks back only."""
STEPS = {"name": "integrated_gradients", "steps": 7}
NOISY = {"name": "smooth_grad", "samples": 5}
ASKED: list[dict[str, Any]] = [
    *({"name": name} for name in ("gradient", "input_times_gradient", "guided_backprop", "deconvnet", "deep_lift")),
    *({"name": name} for name in ("switched_projection", "lrp", "deep_taylor", "excitation_backprop", "evidence")),
    *(
        {"name": name}
        for name in ("cam", "grad_cam", "grad_cam_plus_plus", "layer_cam", "guided_grad_cam", "score_cam")
    ),
    *({"name": name} for name in ("pattern_fit", "pattern_net", "pattern_attribution", "activation_rates", "insens")),
    *({"name": name} for name in ("dissection", "temperature", "predict", "minimal_deletion", "pointing_game")),
    {"name": "simple_taylor", "root": "nearest"},
    STEPS,
    {"name": "integrated_gradients", "tolerance": 1e-9, "max_steps": 100},
    {"name": "smooth_grad", "of": STEPS, "samples": 4},
    {"name": "expected_gradients", "samples": 20},
    {"name": "expected_gradients", "samples": 20, **DATA},
    {"name": "occlusion"},
    {"name": "occlusion", "patch": 1, "stride": 1},
    {"name": "occlusion", "patch": 3, "stride": 2},
    {"name": "prediction_difference", "window": 3, "stride": 1},
    {"name": "prediction_difference", "window": 4, "samples": 3, **DATA},
    {"name": "lime", "samples": 50},
    {"name": "kernel_shap", "segments": "grid", "count": 4, "samples": 100},
    {"name": "kernel_shap", "segments": "grid", "count": 16, "samples": 100},
    {"name": "shapley_sampling", "segments": "grid", "count": 16, "samples": 6},
    {"name": "shapley_sampling", "segments": "grid", "count": 4, "samples": 6},
    {"name": "rise", "masks": 60},
    {"name": "shift_attack"},
    {"name": "contextual_decomposition"},
    {"name": "meaningful_perturbation", "steps": 20},
    {"name": "activation_maximization", "count": 3, "steps": 11},
    {"name": "deep_dream", "octaves": 2, "steps": 4},
    {"name": "consensus", "of": ["gradient", {"name": "lime", "samples": 20}]},
    {"name": "resampling", "splits": 2},
    {"name": "mc_dropout", "samples": 12, "of": "gradient"},
    {"name": "mc_dropout", "samples": 12, "of": "gradient", "approach": "all"},
    {"name": "spray", "of": "gradient", "items": 12},
    {"name": "relevance_share", "items": 9},
    {"name": "collection", "of": STEPS, "start": 4, "stop": 13},
    {"name": "signal_quality", "read_on": "random"},
    {"name": "ssa"},
    {"name": "ssa", "classes": [0, 1], "images": 5, **DATA},
    {"name": "ssa_clusters"},
    {"name": "tcav", "examples": 5, "repeats": 2},
    {"name": "word_deletion", "steps": 5},
    {"name": "pixel_flipping", "steps": 3, **DATA},
    {"name": "pixel_flipping", "patch": 1, "of": "gradient"},
    {"name": "sensitivity_n", "subsets": 5, **DATA},
    {"name": "sensitivity_n", "sizes": [2, 9], "subsets": 10},
    {"name": "compare", "of": [NOISY, "gradient"], **DATA},
    {"name": "continuity", "steps": 5, **DATA},
    {"name": "conservation", **DATA},
    {"name": "box_ratio", "of": [NOISY]},
    {"name": "randomization", "of": NOISY},
    {"name": "implementation_invariance", "of": NOISY, **DATA},
    {"name": "input_shift_invariance", "of": NOISY},
    {"name": "top_items"},
    {"name": "steps_of_influence", "of": STEPS},
    {"name": "unit_concepts"},
    {"name": "cell_correlation"},
    {"name": "group_sums", "of": STEPS},
    {"name": "neon"},
    {"name": "neon_fit"},
    {"name": "selectivity", "of": NOISY},
    {"name": "selectivity", "others": 1, **DATA},
    {"name": "difference", "of": STEPS, "less": NOISY},
    {"name": "noisy_inputs", "samples": 9, "of": "gradient"},
    {"name": "at_temperature", "of": STEPS},
    {"name": "counterfactual", "steps": 4, "rivals": 2},
    {"name": "bilrp"},
]


def test_every_method_is_asked() -> None:
    assert {asked["name"] for asked in ASKED} == set(catalogue())


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the rows of every forward pass, of whatever graph."""
    rows: list[int] = []
    run, record = Graph.run, Tape.__init__

    def running(self: Graph, x: Tensor, *more: Any) -> Any:
        rows.append(len(x))
        return run(self, x, *more)

    def recording(self: Tape, graph: Graph, x: Tensor) -> None:
        rows.append(len(x))
        record(self, graph, x)

    with monkeypatch.context() as patched:
        patched.setattr(Graph, "run", running)
        patched.setattr(Tape, "__init__", recording)
        yield rows


def resources_of() -> InMemory:
    more = {"concept": inputs(30, seed=6), "random": inputs(60, seed=7)}
    found = in_memory(inputs(16, seed=5), np.arange(16) % 3, inputs(16, seed=8) > 0, **more)
    return with_series(found, SERIES)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(map(str, asked.values()))[:60])
def test_a_method_takes_the_passes_that_it_says(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model: Model = next(toy for toy in toys() if support(toy, asked["name"]).supported)
    method, resources = parse_method(asked), resources_of()

    for held in method.inner():
        if not held.takes_input and method.name != "ssa_clusters":  # whose graphs are its own work
            resources.state(model, held)  # what is held is kept
    batch = batch_of(taken(model, inputs(1)), seeds=[3], resources=resources)
    if not method.takes_input:
        batch = no_input(model, resources)
        batch.targets = [ClassTarget(index=1)] if method.takes_target else []
    if model.stochastic is not None:
        model.stochastic()  # compiled once, and rows are run to see whose values are whose
    with counted(monkeypatch) as rows:
        method.explain(model, batch)
    told = method.passes(Extent(model.card, COUNTS))
    items = COUNTS["training"] if getattr(method, "dataset", None) else 1
    assert sum(rows) <= 1.1 * told + FEW * items
    if method.name not in BOUNDS:
        assert told <= 1.5 * sum(rows) + FEW * items


class Detector(nn.Module):
    """A convolution of which some units are off, and a layer behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(6 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.conv(x).relu().flatten(1))
        return output


def test_insens_is_told_by_its_layer_and_input() -> None:
    at = Extent(model_of(Detector(), (1, 8, 8)).card)
    assert parse_method("insens").passes(at) == 1 + 256 + min(6 * 36, 64)
    assert parse_method("insens").passes(Extent()) == 1000


def test_score_cam_is_told_by_its_channels() -> None:
    at = Extent(model_of(Detector(), (1, 8, 8)).card)
    assert parse_method("score_cam").passes(at) == 1 + 6


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10), (5,), (2, 9), (1, 4, 5, 6)])
def test_windows_are_counted_as_they_are_cut(shape: tuple[int, ...]) -> None:
    """At edges that a stride does not meet, too."""
    spec = InputSpec(shape=shape)
    at = Extent(ModelCard(name="toy", digest="d", input=spec, outputs=(2,)))
    for patch in (None, 1, 2, 3, 4):
        for stride in (None, *range(1, (patch or 1) + 1)):
            cut = windows(spec.shape if spec.channel_axis is None else (1, *spec.spatial_shape), patch, stride)
            assert at.windows(patch, stride) == len(cut)


def test_what_was_told_decides_how_many_rows_share_a_batch() -> None:
    method = parse_method("occlusion")
    assert rows_per_batch(method, 1) == 32
    assert rows_per_batch(method, MAX_PASSES // 4) == 4
    assert rows_per_batch(method) == MAX_PASSES // passes(method) == MAX_PASSES // 196  # of an image of 224 x 224
