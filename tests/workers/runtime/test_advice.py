"""What a refusal advises is run on the same model, and works; and what is refused depends on what was sent."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from workers.engine.model.model import Model
from workers.explanation.errors import InputError, InvalidTarget, MethodNotApplicable
from workers.explanation.request_target import parse_targets
from workers.explanation.target import ClassTarget, RankTarget, Target, UnitTarget, ValueTarget
from workers.jobs.records import problem
from workers.methods.catalogue import catalogue, parse_method
from workers.runtime.execute.model_support import check, support


class Words(nn.Module):
    """Looks up whole numbers, and reads them in order."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.drop, self.fc = nn.Embedding(9, 4), nn.Dropout(0.3), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(torch.relu(self.drop(self.emb(x.long()))).flatten(1))
        return output


class Unruled(nn.Module):
    """Its upper half is an operation that nothing is known of; its lower half is as usual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(torch.cumprod(self.act(self.first(x)), 1))
        return output


def rows(activation: nn.Module, outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), activation, nn.Dropout(0.2), nn.Linear(5, outputs))


NETS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "words": (Words, (5,), {}),
    "unruled": (Unruled, (4,), {}),
    "smooth": (lambda: rows(nn.GELU()), (4,), {}),
    "value": (lambda: rows(nn.ReLU(), 1), (4,), {"output": "value"}),
    "evidence": (lambda: nn.Sequential(rows(nn.ReLU()), nn.Softplus()), (4,), {"output": "evidence"}),
    "image": (net, (1, 8, 8), {"image": True}),
    "bare": (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(1), nn.Linear(108, 3)), (1, 8, 8), {}),
    "volume": (lambda: nn.Sequential(nn.Conv3d(1, 3, 3), nn.ReLU()), (1, 4, 4, 4), {"output": "segmentation"}),
    "linear": (lambda: nn.Linear(4, 3), (4,), {}),
}
CONFIGURED: list[tuple[dict[str, Any], Any]] = [
    ({"name": "lrp", "head": "log_odds"}, None),
    ({"name": "lrp", "head": "log_odds"}, {"layer": "LAST", "channel": 0}),
    ({"name": "lrp", "composite": "epsilon_gamma_box"}, None),
    ({"name": "cam"}, {"layer": "LAST", "channel": 0}),
    ({"name": "deep_taylor", "bounds": "card"}, None),
    ({"name": "lime", "segments": "slic"}, None),
    ({"name": "occlusion", "score": "probability"}, None),
    ({"name": "occlusion", "fill": "minimum"}, None),
    ({"name": "prediction_difference"}, {"layer": "LAST", "channel": 0}),
    ({"name": "activation_maximization", "priors": [{"kind": "rotate"}], "steps": 2}, 0),
    ({"name": "activation_maximization", "score": "log_probability", "steps": 2}, {"layer": "LAST", "channel": 0}),
    ({"name": "activation_maximization", "steps": 2}, "argmax"),
    ({"name": "mc_dropout", "samples": 2, "approach": "all", "of": "gradient"}, None),
    ({"name": "mc_dropout", "samples": 2}, None),
    ({"name": "smooth_grad", "of": "lrp", "samples": 2}, None),
    ({"name": "smooth_grad", "of": {"name": "smooth_grad", "of": "deep_lift", "samples": 2}, "samples": 2}, None),
    ({"name": "compare", "of": ["grad_cam", "cam", "gradient"]}, None),
    ({"name": "consensus", "of": ["lrp", "deep_lift"]}, None),
    ({"name": "pixel_flipping", "of": ["lrp", "gradient"]}, None),
    ({"name": "relevance_share", "of": "cam"}, None),
    ({"name": "gradient"}, {"layer": "FIRST", "channel": 0}),
    ({"name": "lrp"}, {"layer": "FIRST", "channel": 0}),
    ({"name": "switched_projection"}, {"layer": "FIRST", "channel": 0}),
]  # fmt: skip


@cache
def model_named(name: str) -> Model:
    make, shape, fields = NETS[name]
    torch.manual_seed(0)
    module = make()
    last = [one.bias for one in module.modules() if isinstance(one, nn.Linear | nn.Conv3d)][-1]
    assert last is not None
    nn.init.constant_(last, 3.0)  # scores that deep_taylor takes
    return model_of(module, shape, **fields)


def target_of(model: Model, raw: Any) -> Target:
    weighted = [node.layer for node in model.graph.nodes if node.op.startswith(("linear", "conv"))]
    if isinstance(raw, dict):
        raw = {**raw, "layer": {"LAST": weighted[-1], "FIRST": weighted[0]}.get(raw["layer"], raw["layer"])}
    return parse_targets("argmax" if raw is None else raw, model.card)[0]


def refusal(model: Model, method: Any, target: Target | None) -> InputError | None:
    """Why it is refused: before the work, or by the work itself."""
    from workers.runtime.execute.alternatives import advised

    try:
        configured = parse_method(method)
        check(model, configured, target)
    except InputError as error:
        return error
    try:
        work(model, configured, target)
    except InputError as error:
        told = advised(error, model, configured, target)
        assert isinstance(told, InputError)
        return told
    return None


def work(model: Model, method: Any, target: Target | None) -> None:
    x = inputs(8, shape=model.card.input.shape).abs()
    x = x.round().clamp(max=2) if model.folded.find("emb") else x
    batch = batch_of(x[:1], target or target_of(model, None), seeds=[0], resources=in_memory(x))
    parse_method(method).explain(model, batch).rows()


_worked: set[str] = set()


def assert_advice_works(name: str, method: Any, raw: Any) -> int:
    """Every alternative of a refusal, run on the same model; how many there were."""
    model = model_named(name)
    target = None if raw is None else target_of(model, raw)
    error = refusal(model, method, target)
    if error is None:
        return 0
    for one in error.alternatives:
        assert {"method", "target"} >= set(one) > set(), one
        asked, aimed = one.get("method", method), target_of(model, one["target"]) if "target" in one else target
        key = json.dumps([name, asked, str(aimed)], default=str)
        if key not in _worked:
            assert refusal(model, asked, aimed) is None, (error.detail, one)
            _worked.add(key)
    if isinstance(error, MethodNotApplicable):
        assert error.alternatives, error.detail
        assert "work" in error.detail
    return len(error.alternatives)


@pytest.mark.parametrize("name", NETS)
def test_what_a_card_advises_works(name: str) -> None:
    refused = [m for m in catalogue() if not support(model_named(name), m).supported]
    assert refused
    assert sum(assert_advice_works(name, method, None) for method in refused) >= len(refused)


@pytest.mark.parametrize("name", NETS)
def test_what_a_refusal_of_parameters_advises_works(name: str) -> None:
    for method, target in CONFIGURED:
        if "datasets" not in method and not (isinstance(target, int) and model_named(name).card.output == "value"):
            assert_advice_works(name, method, target)


def test_the_advice_to_read_at_the_embedding_is_taken() -> None:
    model = model_named("words")
    with pytest.raises(MethodNotApplicable) as refused:
        check(model, parse_method("lrp"), ClassTarget(index=1))
    assert refused.value.alternatives[0] == {"method": {"name": "lrp", "to": "emb"}}
    assert refused.value.detail.endswith('goes back to it; "to": "emb", occlusion and kernel_shap work here')
    check(model, parse_method(refused.value.alternatives[0]["method"]), ClassTarget(index=1))
    assert json.loads(problem(refused.value))["alternatives"][0] == {"method": {"name": "lrp", "to": "emb"}}


@pytest.mark.parametrize("name", ["lrp", "deep_lift", "deep_taylor", "excitation_backprop", "switched_projection"])
def test_only_what_lies_between_the_input_and_the_target_counts(name: str) -> None:
    model, sent = model_named("unruled"), {"name": name, **({"bounds": "real"} if name == "deep_taylor" else {})}
    with pytest.raises(MethodNotApplicable, match="cumprod"):
        check(model, parse_method(sent), ClassTarget(index=0))
    check(model, parse_method(sent), UnitTarget(layer="first", channel=2))
    x = inputs(2, shape=(4,)).abs()
    unit = UnitTarget(layer="act", channel=int(model.folded.run(x, [2])[1][2].sum(0).argmax()))
    found = parse_method(sent).explain(model, batch_of(x, unit)).arrays["attribution"]
    assert bool((found != 0).any())


def test_relevance_is_read_above_what_has_no_rule() -> None:
    model = model_named("unruled")
    sent = parse_method({"name": "lrp", "to": "cumprod"})
    check(model, sent, ClassTarget(index=0))
    found = sent.explain(model, batch_of(inputs(2, shape=(4,)), 0)).arrays["attribution"]
    assert found.shape == (2, 5)


def test_a_map_needs_a_class_where_it_says_so() -> None:
    model = model_of(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 3)), (1, 8, 8)
    )
    check(model, parse_method("cam"), RankTarget(rank=0))
    with pytest.raises(MethodNotApplicable, match='none; the target "argmax", grad_cam and layer_cam work') as no:
        check(model, parse_method("cam"), UnitTarget(layer="0", channel=1))
    assert no.value.alternatives[0] == {"target": "argmax"}


def test_a_layer_that_norm_is_folded_into_names_the_norm() -> None:
    model, unit = model_named("image"), UnitTarget(layer="conv1", index=(1, 2, 2))
    with pytest.raises(InvalidTarget, match="bn1 is folded into conv1") as refused:
        check(model, parse_method("lrp"), unit)
    assert refused.value.alternatives[0] == {"target": {"layer": "bn1", "index": [1, 2, 2]}}
    check(model, parse_method("gradient"), unit)


def test_several_methods_held_are_replaced_together() -> None:
    with pytest.raises(MethodNotApplicable, match="in place of gradient and input_times_gradient") as refused:
        check(model_named("words"), parse_method("compare"), ClassTarget(index=0))
    assert refused.value.alternatives == (
        {"method": {"name": "compare", "of": [{"name": "occlusion"}, {"name": "kernel_shap"}]}},
    )


def test_a_true_reason_comes_before_a_parameter() -> None:
    with pytest.raises(MethodNotApplicable, match="gelu"):
        check(model_named("smooth"), parse_method("deep_taylor"), ClassTarget(index=0))
    with pytest.raises(InputError, match=r'"bounds": "positive" and "bounds": "real" work here'):
        check(model_named("value"), parse_method("deep_taylor"), ValueTarget())
