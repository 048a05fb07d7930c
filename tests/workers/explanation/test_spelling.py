"""What a wrong name was meant to be."""

from __future__ import annotations

import pytest

from workers.explanation.names.spelling import COMPARED, SHOWN, closest, meant

NAMES = ["gradient", "input_times_gradient", "lrp", "ResNet50"]


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("gradients", "gradient"),
        ("inputXgradient", "input_times_gradient"),
        ("LRP", "lrp"),
        ("resnet_50", "ResNet50"),
        ("zzz", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_the_closest_name_whatever_its_case(given: object, right: str | None) -> None:
    assert closest(given, NAMES) == right
    expected = "there are: gradient, input_times_gradient, lrp, ResNet50"
    assert meant(given, NAMES) == (f"did you mean {right}?" if right else expected)


def test_of_many_names_some_are_listed_and_the_rest_counted() -> None:
    names = [f"layer{number}" for number in range(SHOWN + 7)]
    assert meant("zzz", names).endswith(f"layer{SHOWN - 1}, and 7 more")
    assert meant("zzz", []) == "there are none"


def test_neither_a_long_name_nor_many_names_take_long_to_compare() -> None:
    """A client sends names as long as a body: what is compared is bounded."""
    names = [f"class number {number}" for number in range(10 * COMPARED)]
    assert closest("x" * 10**7, names) is None
    assert closest(f"class number {COMPARED - 1}", names) == f"class number {COMPARED - 1}"
