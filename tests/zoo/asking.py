"""One question to a net of the zoo, answered as a worker answers it: an answer, a refusal, or what must not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.resources import InMemory, in_memory, no_input
from tests.toys import CHUNK
from tests.zoo.animals import TOKENS, ZOO
from workers.engine.model import explained_score
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError, InternalError
from workers.explanation.inputs import ONE, Shapes, fed, is_plain, joined
from workers.explanation.result import Row
from workers.explanation.spec import ModelSpec
from workers.explanation.target import Target
from workers.methods.method import Method
from workers.models.export.program import export_module
from workers.runtime.execute.faults import contained
from workers.runtime.execute.model_support import check

# Few passes: the laws hold for any number of them.
FEW: dict[str, dict[str, Any]] = {
    "activation_maximization": {"steps": 3, "rate": 0.1},
    "compare": {"of": ["gradient", "occlusion"]},
    "consensus": {"of": ["gradient", "input_times_gradient"]},
    "continuity": {"steps": 3},
    "deep_dream": {"steps": 2, "octaves": 1},
    "expected_gradients": {"samples": 4},
    "integrated_gradients": {"steps": 5},
    "kernel_shap": {"samples": 150, "count": 6},
    "lime": {"samples": 60, "count": 6},
    "mc_dropout": {"samples": 3},
    "meaningful_perturbation": {"steps": 3},
    "pixel_flipping": {"steps": 5},
    "prediction_difference": {"samples": 2},
    "resampling": {"of": "pattern_attribution", "splits": 2},
    "rise": {"masks": 20, "cells": 3},
    "sensitivity_n": {"subsets": 6},
    "shapley_sampling": {"samples": 4, "count": 6},
    "smooth_grad": {"samples": 3},
    "tcav": {"repeats": 2, "examples": 12},
}


@dataclass(frozen=True)
class Answer:
    """The rows of a result, and for each the score that is told of what was explained."""

    rows: list[Row]
    scores: list[float | None]


@dataclass(frozen=True)
class Refusal:
    """What a client would read."""

    error: ExplainError


def few(name: str) -> dict[str, Any]:
    return {"name": name, **FEW.get(name, {})}


@cache
def loaded(name: str, tokens: int = TOKENS) -> Model:
    """The net, exported and loaded as a worker does, in float64: what differs is then wrong, and no rounding."""
    return any_length(name).sized(shapes_of(name, tokens))


def shapes_of(name: str, tokens: int = TOKENS) -> Shapes:
    return tuple(tuple(row.shape[1:]) for row in ZOO[name].rows(2, tokens=tokens).values())


@cache
def any_length(name: str) -> Model:
    one = ZOO[name]
    spec = ModelSpec(
        name=name, output=one.output, input=joined(one.takes, {}), labels=(), default_method="gradient", accuracy=None,
        digest="sha256:" + "0" * 64, inputs={} if is_plain(one.takes) else one.takes, select=one.select,
    )  # fmt: skip
    tensors = fed(one.takes)
    rows = {key: row for key, row in one.rows(2).items() if key in tensors}
    program = export_module(one.module(), tensors, name, rows, one.select)
    return Model.from_program(spec, program, dtype=torch.float64, chunk=CHUNK)


def given(name: str, n: int, seed: int = 0, tokens: int = TOKENS) -> Tensor:
    """n inputs as methods are given them: (n, *shape), or those of several inputs end to end."""
    return loaded(name, tokens).join(ZOO[name].rows(n, seed, tokens))


@cache
def supplies(name: str, tokens: int = TOKENS) -> InMemory:
    """Datasets for those methods that look at many inputs."""
    takes = ZOO[name].takes
    more = {"concept": given(name, 14, 6, tokens), "random": given(name, 28, 7, tokens)}
    masks = given(name, 12, 8) > 0 if list(takes) == [ONE] and takes[ONE].kind == "image" else None
    return in_memory(given(name, 12, 5, tokens), np.arange(12) % 2, masks, **more)


def asked(
    name: str, method: Method, x: Tensor, targets: Sequence[Target], seeds: list[int], tokens: int = TOKENS,
    model: Model | None = None,
) -> Answer | Refusal:  # fmt: skip
    """The answer, or the refusal; anything else that is raised is a fault, and is raised here too.

    Of the net as it is loaded, where it is not given.
    """
    model = model or loaded(name, tokens)
    try:
        with contained():
            check(model, method, targets[0] if targets and method.takes_target else None)
            resources = supplies(name, tokens).of_a_job()
            if method.takes_input:
                batch = Batch(x, list(targets) if method.takes_target else [], seeds, resources=resources)
            else:
                batch = no_input(model, resources)
                batch.targets = list(targets)[:1] if method.takes_target else []
            rows = named(method.explain(model, batch), model.card.input, method.of_places()).rows()
            told = explained_score.explained_scores(model, batch)[1] if method.takes_input else []
            scores: list[float | None] = [one["score"] for one in told]
            return Answer(rows, scores or [None] * len(rows))
    except InternalError:
        raise
    except ExplainError as error:
        return Refusal(error)
