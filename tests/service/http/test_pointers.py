"""A fault of a request: where it lies, as a pointer into what was sent, and what would be right there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from service.explanations.request_schema import parse_request
from service.explanations.requests import parse_methods
from service.http.errors import Invalid
from service.http.pointers import pointers
from workers.contract import UnknownMethod

SECRET = "what the client sent"
WORDS = "there is no field of this name; did you mean"


def faults(method: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_methods(method)
    return {one["pointer"]: one["detail"] for one in caught.value.errors}


@pytest.mark.parametrize(
    ("composite", "where", "right"),
    [
        ([{"layers": "conv1", "rule": "gama"}], "/0/rule", "no such value; did you mean gamma?"),
        ([{"rule": "epsilon"}, {"rule": "gamma", "gama": 1}], "/1/gama", f"{WORDS} gamma?"),
        ([{"rule": "gamma", "gamma": 0.5, "gama": 1}], "/0/gama", f"{WORDS} gamma?"),
        ([{"rule": "gamma", "gamma": SECRET}], "/0/gamma", "valid number"),
        ([{"layers": "conv1"}], "/0/rule", "missing"),
        ([{"rule": "epsilon", "layer": "conv1"}], "/0/layer", f"{WORDS} layers?"),
        ([{"rule": "epsilon", "where": "frist"}], "/0/where", "no such value; did you mean first?"),
        ([{"rule": "epsilon", "layers": 7}], "/0/layers", "valid string"),
        ([SECRET], "/0", "this should be a JSON object"),
        ("epsilon_plus_flatt", "", "no such value; did you mean epsilon_plus_flat?"),
        (7, "", "; or this should be a list"),
        ({"rule": "gamma"}, "", "; or this should be a list"),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_a_mistake_of_a_composite_points_at_its_entry(composite: Any, where: str, right: str, held: bool) -> None:
    method = {"name": "lrp", "composite": composite}
    found = faults({"name": "smooth_grad", "of": method} if held else method)
    ((pointer, detail),) = found.items()
    assert pointer == f"/method{'/of' if held else ''}/composite{where}"
    assert right in detail
    assert SECRET not in detail


@pytest.mark.parametrize(
    ("method", "pointer", "right"),
    [
        ({"name": "integrated_gradients", "step": 9}, "/method/step", f"{WORDS} steps?"),
        ({"name": "deep_lift", "rule": "resacle"}, "/method/rule", "did you mean rescale?"),
        ({"name": "smooth_grad", "of": {"name": "lrp", "composit": 1}}, "/method/of/composit", f"{WORDS} composite?"),
        ({"name": "smooth_grad", "of": "gradientt"}, "/method/of", "did you mean gradient?"),
        ({"name": "compare", "of": ["lrp", {"name": "limee"}]}, "/method/of/1", "did you mean lime?"),
        ({"name": "lrp", "units": [{"layer": "x", "chanels": [1]}]}, "/method/units/0/chanels", f"{WORDS} channels?"),
        ({"name": "activation_maximization", "priors": [{"name": "l2", "x": 1}]}, "/method/priors/0", ""),
    ],
)
def test_a_wrong_name_anywhere_is_told_with_the_right_one(method: Any, pointer: str, right: str) -> None:
    found = faults(method)
    assert any(where.startswith(pointer) and right in detail for where, detail in found.items()), found
    assert all("literal[" not in where and "tuple[" not in where for where in found)


def test_a_method_is_meant() -> None:
    with pytest.raises(UnknownMethod, match=r"there is no such method; did you mean integrated_gradients\?"):
        parse_methods("integrated_gradient")


@pytest.mark.parametrize(
    ("fields", "pointer", "right"),
    [
        ({"modell": "digits", "model": "digits"}, "/modell", "model"),
        ({"model": "digits", "input": {"imgae": ""}}, "/input/imgae", "image"),
        ({"model": "digits", "inputs": {"row": {"tabel": {}}}}, "/inputs/row/tabel", "table"),
        ({"model": "digits", "webhook": {"url": "https://x", "ulr": ""}}, "/webhook/ulr", "url"),
    ],
)
def test_a_field_of_a_request_is_meant(fields: Any, pointer: str, right: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_request(fields)
    found = {one["pointer"]: one["detail"] for one in caught.value.errors}
    assert found[pointer] == f"{WORDS} {right}?"


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    Tree: int = 0


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    of: list[Leaf | dict[str, list[int]] | int]


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"of": [{"Leaf": "x"}]}, {"/of/0/Leaf"}),
        ({"of": [{"Tree": "x"}]}, {"/of/0/Tree"}),
        ({"of": [3, {"a/b": [1, "x"]}]}, {"/of/1/a~1b/1"}),
        ({"of": [[]]}, {"/of/0"}),
    ],
)
def test_a_pointer_leads_through_what_was_sent(raw: Any, where: set[str]) -> None:
    """Members of a union have names that may be keys, too: what leads farthest to the fault counts."""
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(raw)
    found = pointers(caught.value.errors(include_input=False, include_url=False), raw=raw, kind=Tree)
    assert {one["pointer"] for one in found} == where
