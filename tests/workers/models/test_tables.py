"""Tables: rows as people write them, categories that are looked up, and a background that stands for what is usual."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.models.servers.fake_predictor import Fake, served
from workers.engine.model.function import Function
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import InvalidFolder, InvalidParameter, InvalidTensor
from workers.explanation.table import check_row, read_background, row_of, rows_of_csv, rows_of_split, written
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method
from workers.methods.extent import Extent
from workers.models.folder import read_folder
from workers.models.loading import load

NAMES = ("age", "job", "shoe", "city")
SPEC = InputSpec(
    kind="table", shape=(4,), names=NAMES, background_rows=6,
    categories={"job": ("clerk", "nurse", "smith"), "shoe": (38.0, 40.0, 42.0), "city": ("north", "south")},
)  # fmt: skip
BACKGROUND = torch.tensor(
    [[30.0, 0, 38, 0], [51.5, 1, 40, 0], [22, 2, 42, 1], [64, 1, 38, 1], [45, 1, 42, 0], [38, 0, 40, 0]]
)
ROW = torch.tensor([[40.0, 2, 42, 1]])


class Known(Function):
    """A function of a table with effects that are not a sum; it takes categories alone where there are some."""

    def __init__(self, spec: InputSpec = SPEC) -> None:
        card = ModelCard(name="toy", digest="sha256:0", output="value", input=spec, outputs=())
        super().__init__(card, torch.device("cpu"), torch.float32, 64)
        self.background = BACKGROUND
        self.asked_rows: list[Tensor] = []

    def run(self, x: Tensor) -> Tensor:
        self.asked_rows.append(x)
        age, job, shoe, city = x.unbind(1)
        return age * (job == 2) + shoe / 10 * (1 + city) + (job == 1) * (city == 1) * 5


def shapley(model: Function, row: Tensor) -> list[float]:
    """By the definition, the worth of some columns being the mean over the background with theirs."""

    def worth(shown: tuple[int, ...]) -> float:
        rows = BACKGROUND.clone()
        rows[:, list(shown)] = row[0, list(shown)]
        return float(model.run(rows).double().mean())

    count, found = row.shape[1], []
    for player in range(count):
        others = [i for i in range(count) if i != player]
        found.append(
            sum(
                factorial(size) * factorial(count - size - 1) / factorial(count)
                * (worth(tuple(sorted((*some, player)))) - worth(some))
                for size in range(count)
                for some in combinations(others, size)
            )
        )  # fmt: skip
    return found


@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling"])
def test_shapley_values_of_columns_are_exact(name: str) -> None:
    model = Known()
    method = parse_method(name).suited(SPEC)
    result = method.explain(model, batch_of(ROW, ValueTarget(), seeds=[0])).rows()[0]
    np.testing.assert_allclose(result.arrays["attribution"], shapley(Known(), ROW), rtol=1e-5, atol=1e-5)
    mean = float(Known().run(BACKGROUND).mean())
    assert result.checks[0].expected == pytest.approx(float(Known().run(ROW)) - mean, rel=1e-5)
    assert method.passes(Extent(model.card)) == 16 * 6


@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling", "lime", "occlusion", "prediction_difference"])
def test_categories_are_altered_among_their_values(name: str) -> None:
    model = Known()
    known: dict[str, dict[str, object]] = {"lime": {"samples": 30}, "prediction_difference": {"score": "logit"}}
    more = known.get(name, {})
    parse_method({"name": name, **more}).suited(SPEC).explain(model, batch_of(ROW, ValueTarget(), seeds=[1]))
    for column, values in SPEC.categories.items():
        seen = set(torch.cat(model.asked_rows)[:, NAMES.index(column)].tolist())
        assert seen <= (set(range(len(values))) if isinstance(values[0], str) else set(values))
        assert len(seen) > 1


def test_occlusion_is_what_a_column_adds_to_its_mean_over_the_background() -> None:
    found = parse_method("occlusion").suited(SPEC).explain(Known(), batch_of(ROW, ValueTarget())).rows()[0]
    for column in range(4):
        rows = ROW.repeat(6, 1)
        rows[:, column] = BACKGROUND[:, column]
        expected = float(Known().run(ROW)) - float(Known().run(rows).mean())
        assert found.arrays["attribution"][column] == pytest.approx(expected, rel=1e-5)
    assert found.info == {"patches": 4}


def test_what_fills_once_takes_no_value_between_categories() -> None:
    model = Known()
    method = parse_method({"name": "sensitivity_n", "of": ["occlusion"], "subsets": 4})
    method.explain(model, batch_of(ROW, ValueTarget(), seeds=[1]))
    assert set(torch.cat(model.asked_rows)[:, 1].tolist()) <= {0, 1, 2}


def test_the_default_is_the_background_where_there_is_one_and_nobody_said_otherwise() -> None:
    plain = SPEC.model_copy(update={"background_rows": 0})
    assert parse_method("kernel_shap").suited(SPEC).to_json()["fill"] == "background"
    assert parse_method("kernel_shap").suited(plain).to_json()["fill"] == "zero"
    assert parse_method({"name": "kernel_shap", "fill": "zero"}).suited(SPEC).to_json()["fill"] == "zero"
    held = parse_method({"name": "compare", "of": ["lime", "rise"]}).suited(SPEC).to_json()["of"]
    assert [one["fill"] for one in held] == ["background", "zero"]
    model = Known()
    model.background = None
    with pytest.raises(InvalidParameter, match="names none: a table has background"):
        parse_method({"name": "lime", "fill": "background"}).explain(model, batch_of(ROW, ValueTarget()))


def test_a_model_made_of_another_keeps_what_is_usual_for_it() -> None:
    """Its neurons split, its weights shuffled, its logits divided, it is asked with the same fills."""
    model = model_of(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), (4,), dtype=torch.float64)
    model.background = BACKGROUND.double()
    inner = {"name": "kernel_shap", "fill": "background", "samples": 16}
    batch = batch_of(ROW.double(), seeds=[0])
    plain = parse_method(inner).explain(model, batch).arrays["attribution"]
    halved = parse_method({"name": "at_temperature", "of": inner, "temperature": 2.0}).explain(model, batch)
    torch.testing.assert_close(2 * halved.arrays["attribution"], plain)
    same = parse_method({"name": "implementation_invariance", "of": [inner], "noise": 0}).explain(model, batch)
    assert float(same.arrays["scores"].max()) < 1e-9
    shifted = parse_method({"name": "input_shift_invariance", "of": [inner], "noise": 0}).explain(model, batch)
    assert float(shifted.arrays["scores"].max()) < 1e-9


def test_rows_come_as_people_write_them() -> None:
    text = "city,age,job,shoe\r\nsouth,40,smith,42\r\n"
    split = {"index": [0], "columns": list(NAMES), "data": [[40, "smith", 42, "south"]]}
    np.testing.assert_array_equal(rows_of_csv(text, SPEC, "", 1), ROW)
    np.testing.assert_array_equal(rows_of_split(split, SPEC, "", 1), ROW)
    np.testing.assert_array_equal(row_of([42, 40, "south", "smith"], ["shoe", "age", "city", "job"], SPEC, ""), ROW[0])
    assert written(ROW[0].numpy(), SPEC) == [40.0, "smith", 42.0, "south"]


def test_columns_without_names_of_their_own_have_their_numbers() -> None:
    """As pandas writes a frame that was made of an array."""
    spec = InputSpec(shape=(3,), kind="table", names=("0", "1", "2"))
    split = {"index": [0], "columns": [2, 0, 1], "data": [[3, 1.0, 2]]}
    np.testing.assert_array_equal(rows_of_split(split, spec, "", 1), [[1, 2, 3]])
    with pytest.raises(InvalidTensor, match="the columns age, job, shoe, city are missing"):
        rows_of_split(split, SPEC, "", 1)
    with pytest.raises(InvalidTensor, match="columns should be a list of names"):
        rows_of_split(split | {"columns": [True, 0, 1]}, spec, "", 1)


@pytest.mark.parametrize("missing", [None, float("nan"), "", "NaN"])
@pytest.mark.parametrize("column", NAMES)
def test_a_value_that_is_missing_is_told_by_its_column(missing: Any, column: str) -> None:
    spec = SPEC.model_copy(update={"categories": {**SPEC.categories, "city": ("None", "north", "south")}})
    row = {"age": 40, "job": "smith", "shoe": 42, "city": "south"} | {column: missing}
    with pytest.raises(InvalidTensor, match=rf"^{column} (has the values|should be a finite number)"):
        row_of(list(row.values()), list(row), spec, "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"age": 1, "job": "clerk", "shoe": 38}, "the columns city are missing"),
        ({"age": 1, "job": "clerk", "shoe": 38, "city": "north", "pet": 1}, "there is no column pet"),
        ({"age": 1, "job": "baker", "shoe": 38, "city": "north"}, "job has the values clerk, nurse, smith"),
        ({"age": 1, "job": "clerk", "shoe": 39, "city": "north"}, "shoe has the values 38.0, 40.0, 42.0"),
        ({"age": "old", "job": "clerk", "shoe": 38, "city": "north"}, "age should be a finite number"),
        ({"age": None, "job": "clerk", "shoe": 38, "city": "north"}, "values may not be missing"),
        ({"age": 1e39, "job": "clerk", "shoe": 38, "city": "north"}, "age should be a finite number"),
    ],
)
def test_a_wrong_row_names_the_column(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTensor, match=said):
        row_of(list(given.values()), list(given), SPEC, "/input")


def test_numbers_that_are_no_category_are_refused() -> None:
    check_row(ROW[0].numpy(), SPEC, "/input")
    for column, value in ((1, 3.0), (1, 0.5), (2, 39.0)):
        row = ROW[0].clone()
        row[column] = value
        with pytest.raises(InvalidTensor, match="is no category"):
            check_row(row.numpy(), SPEC, "/input")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age,job,shoe,city\n", "a line for each row"),
        ("age,job\n1,clerk\n", "shoe, city are missing"),
        ("age,job,shoe,city\n1,baker,38,north\n", "job has the values"),
        ("age,job,shoe,city\n1,clerk,38\n", "3 values and there are 4 columns"),
    ],
)
def test_a_wrong_background_names_its_file(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(InvalidFolder, match=f"toy/b.csv: .*{said}"):
        read_background(tmp_path / "b.csv", SPEC, "toy/b.csv")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": [], "shape": [2]}, "names is missing"),
        ({"names": ["a", "a"]}, "each column once"),
        ({"shape": [2, 2]}, "a table has one axis"),
        ({"categories": {"pet": ["a", "b"]}}, "is no column"),
        ({"categories": {"a": ["x"]}}, "two values or more"),
        ({"categories": {"a": ["x", 1]}}, "texts alone, or numbers alone"),
        ({"kind": "tensor", "categories": {"a": ["x", "y"]}}, "is for tables"),
        ({"background": "none.csv"}, "there is no such file"),
    ],
)
def test_a_wrong_card_of_a_table_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    spec = {"kind": "table", "names": ["a", "b"], **changes}
    if spec["kind"] == "tensor":
        spec["shape"] = [2]
    card = {"model": {"source": "kserve:http://h/v1/models/m"}, "input": spec, "remote": {"version": "1"}}
    (tmp_path / "card.toml").write_text(tomli_w.dumps(card))
    with pytest.raises(InvalidFolder, match=said):
        read_folder(tmp_path)


def test_a_server_is_sent_words_for_categories_and_the_background_is_in_the_digest(
    tmp_path: Path,
) -> None:
    spec = {
        "kind": "table", "names": list(NAMES), "background": "b.csv",
        "categories": {name: list(values) for name, values in SPEC.categories.items()},
    }  # fmt: skip
    lines = [",".join(NAMES), "30,clerk,38,north", "51.5,nurse,40,south"]
    with served(Fake(lambda rows: np.zeros(len(rows)), "mlflow", texts=True)) as fake:
        model = {"source": fake.address, "output": "value"}
        card = {"model": model, "input": spec, "remote": {"version": "1"}}
        (tmp_path / "card.toml").write_text(tomli_w.dumps(card))
        (tmp_path / "b.csv").write_text("\n".join(lines))
        folder = read_folder(tmp_path)
        there = load(folder)
        there.run(ROW)
        assert b'"columns":["age","job","shoe","city"],"data":[[40,"smith",42,"south"]]' in fake.asked[-1]
        assert there.background is not None
        assert there.card.input.background_rows == len(there.background) == 2
        (tmp_path / "b.csv").write_text("\n".join(lines[:2]))
        assert read_folder(tmp_path).digest != folder.digest


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_marks_between_columns_are_named(mark: str, said: str) -> None:
    """A decimal comma would make two columns of one."""
    with pytest.raises(InvalidTensor, match=f"{said} stand between the columns"):
        rows_of_csv(mark.join(NAMES) + "\n" + mark.join(["40,5", "smith", "42", "south"]), SPEC, "", 1)
