"""Parameters that name datasets and models, at any depth of a method."""

from __future__ import annotations

from workers.methods import method
from workers.methods.method import AnyMethod, DatasetName, Method, ModelName, parse_method, with_datasets, with_models


class named_toy(Method):  # noqa: N801  # a method's name is that of its module; this one is never in the catalogue
    """A method that names what methods may name."""

    dataset: DatasetName = "d"
    generators: tuple[ModelName, ...] = ("m", "n")
    of: tuple[AnyMethod, ...] = (parse_method("gradient"), parse_method({"name": "pattern_net"}))


TOY = named_toy.model_validate({"name": "test_named"})
del method._methods["test_named"]  # so that no other test meets it among those there are


def test_every_model_named_is_replaced_and_nothing_else() -> None:
    asked: list[tuple[str, str]] = []

    def digest_of(name: str, pointer: str) -> str:
        asked.append((name, pointer))
        return f"sha256:{name}"

    found = with_models(TOY, digest_of)
    assert found.generators == ("sha256:m", "sha256:n")
    assert found.dataset == "d"
    assert asked == [("m", "/method/generators/0"), ("n", "/method/generators/1")]


def test_datasets_of_methods_held_in_a_tuple_are_replaced() -> None:
    found = with_datasets(TOY, lambda name, _: f"sha256:{name}")
    assert found.dataset == "sha256:d"
    assert found.of[1].patterns.dataset == "sha256:training"  # type: ignore[attr-defined]  # of pattern_net
    assert found.generators == ("m", "n")


def test_methods_in_a_tuple_are_held_and_their_revisions_count() -> None:
    assert [one.name for one in TOY.inner()] == ["gradient", "pattern_net"]
    assert len(TOY.revisions()) == 4
