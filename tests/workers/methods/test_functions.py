"""A model that is but a function: what needs more is refused with what works, and the rest is as of the model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from torch import Tensor

from tests.resources import in_memory, no_input
from tests.toys import CHUNK, batch_of, inputs, model_of, net
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidTarget, MethodNotApplicable
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import catalogue, parse_method
from workers.methods.method import OF_A_GRAPH
from workers.runtime.execute.model_support import check, support

OF = ["occlusion", "shapley_sampling"]
ALONE: dict[str, dict[str, object]] = {
    "occlusion": {}, "lime": {"samples": 50}, "kernel_shap": {"samples": 256}, "shapley_sampling": {"samples": 4},
    "rise": {"masks": 20}, "prediction_difference": {}, "predict": {}, "temperature": {"dataset": "training"},
    "consensus": {"of": OF}, "smooth_grad": {"of": "occlusion", "samples": 3},
    "pixel_flipping": {"of": OF, "steps": 5}, "sensitivity_n": {"of": OF, "subsets": 5}, "compare": {"of": OF},
    "continuity": {"of": ["occlusion"], "steps": 2}, "conservation": {"of": OF}, "minimal_deletion": {"of": OF},
    "pointing_game": {"of": OF}, "box_ratio": {"of": OF},
}  # fmt: skip


class Served(Function):
    """The outputs of a model, and nothing else of it."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.card.model_copy(update={"layers": ()}), model.device, model.dtype, CHUNK)
        self._model = model

    def run(self, x: Tensor) -> Tensor:
        return self._model.run(x)


@cache
def both() -> tuple[Model, Served]:
    model = model_of(net(), (1, 8, 8), image=True)
    return model, Served(model)


@pytest.mark.parametrize("name", list(ALONE))
def test_what_asks_the_function_alone_gives_the_same_numbers(name: str) -> None:
    method = parse_method({"name": name, **ALONE[name]})
    found = []
    for model in both():
        check(model, method)
        data = in_memory(inputs(16, seed=5), np.arange(16) % 3, inputs(16, seed=8) > 0)
        batch = batch_of(inputs(2), seeds=[3, 4], resources=data) if method.takes_input else no_input(both()[0], data)
        found.append(method.explain(model, batch).rows())
    for own, other in zip(*found, strict=True):
        assert own.arrays.keys() == other.arrays.keys()
        for key, array in own.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[key])


@pytest.mark.parametrize("name", [name for name, kind in catalogue().items() if kind.needs & OF_A_GRAPH])
def test_what_needs_more_is_refused_with_what_works(name: str) -> None:
    told = support(both()[1], name)
    assert not told.supported
    assert told.reason is not None
    assert "toy is computed on another server" in told.reason
    assert told.alternatives


def test_what_a_method_holds_is_refused_in_its_place() -> None:
    with pytest.raises(MethodNotApplicable, match="integrated_gradients needs gradients") as refused:
        check(both()[1], parse_method({"name": "pixel_flipping", "of": ["integrated_gradients"]}))
    for one in refused.value.alternatives:
        check(both()[1], parse_method(one["method"]))


def test_nothing_but_outputs_is_a_target() -> None:
    batch = batch_of(inputs(1), UnitTarget(layer="conv1", channel=0))
    with pytest.raises(InvalidTarget, match="no layer 'conv1'"):
        parse_method("occlusion").explain(both()[1], batch)
