"""`import whence`: what may be explained, what comes back, and what is raised."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from service.http.errors import QueueFull
from service.queue.status import Problem
from tests.service.fakes import FakeQueue, stored
from tests.tree import ROOT
from whence import Busy, Client, Explanation, Failed, NotFinished, Refused, Unreachable, WhenceError
from whence.flows import finish
from whence.inputs import files_of, npy
from workers.contract import digest_image, digest_tensor

ROW = np.array([0.5, -1.0, 2.0, 0.25], np.float32)


def png_of(value: int = 128) -> bytes:
    out = BytesIO()
    Image.new("L", (8, 8), value).save(out, "PNG")
    return out.getvalue()


def test_an_explanation_is_its_numbers_its_document_and_its_pictures(client: Client, queue: FakeQueue) -> None:
    made = client.explain("digits", png_of(), "integrated_gradients", target=1, steps=7)
    (order,) = queue.orders
    assert order.job.method.to_json()["steps"] == made.method["steps"] == 7
    held = np.load(BytesIO(queue.results[made.id][1]["attribution"]))
    assert isinstance(made.values, np.ndarray)
    np.testing.assert_array_equal(made.values, held)
    assert made.id == order.job.id
    assert (made.model, made.kind, made.array_names) == ("digits", "attribution", ("attribution",))
    assert [check.name for check in made.checks] == [one["name"] for one in made.document["checks"]]
    assert made.prediction[0].score == made.document["prediction"][0]["score"]
    assert Image.open(BytesIO(made.picture("overlay", colormap="purple_green"))).format == "PNG"
    assert json.loads(made.receipt())["id"] == made.id


@pytest.mark.parametrize("given", [ROW, torch.from_numpy(ROW), ROW[None]])
def test_an_array_is_a_baseline(client: Client, queue: FakeQueue, given: Any) -> None:
    made = client.explain("table", ROW, "integrated_gradients", baseline=given)
    assert made.method["baseline"] == {"digest": digest_tensor(ROW)}
    assert [one.digest for one in queue.orders[0].given] == [digest_tensor(ROW)]


@pytest.mark.parametrize("given", [png_of(), Image.new("L", (8, 8), 128)])
def test_a_picture_is_a_baseline(client: Client, given: Any) -> None:
    made = client.explain("digits", png_of(), "integrated_gradients", baseline=given)
    assert list(made.method["baseline"]) == ["digest"]


@pytest.mark.parametrize(
    "given",
    [
        ROW,
        ROW.astype(np.float64),
        ROW.tolist(),
        torch.from_numpy(ROW).requires_grad_(),
        np.stack([ROW, ROW], axis=1)[:, 0],
        ROW[None],
        npy(ROW),
    ],
    ids=["float32", "float64", "list", "tensor", "strided", "row", "bytes"],
)
def test_an_array_of_any_library_is_the_same_input(client: Client, queue: FakeQueue, given: Any) -> None:
    client.explain("table", given)
    assert queue.orders[0].job.input == digest_tensor(ROW)


def test_a_picture_a_path_and_bytes_are_images(client: Client, queue: FakeQueue, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of())
    for given in (Image.open(tmp_path / "a.png"), tmp_path / "a.png", str(tmp_path / "a.png"), png_of()):
        client.explain("digits", given, "gradient")
    assert {order.job.input for order in queue.orders[1:]} == {digest_image(png_of())}
    assert {order.input.kind for order in queue.orders if order.input} == {"image"}


@pytest.mark.parametrize("name", ["sevn.png", "no/such.npy", Path("nothing")])
def test_a_path_to_nothing_is_no_text(client: Client, name: str | Path) -> None:
    with pytest.raises(FileNotFoundError, match=Path(name).stem):
        client.explain("digits", name)


@pytest.mark.parametrize("given", [object(), [object()], np.array(["a"]), np.array([None, 1])])
def test_what_is_no_input_is_said_to_be_none(client: Client, given: Any) -> None:
    with pytest.raises(TypeError, match="an array of numbers, a PIL image"):
        client.explain("digits", given)


def test_texts_and_several_inputs_by_name_are_sent_as_the_api_has_them() -> None:
    assert files_of("a film, well made") == ({"input": {"text": "a film, well made"}}, {})
    fields, files = files_of({"row": ROW, "review": "good", "photo": png_of()})
    assert fields == {"inputs": {"review": {"text": "good"}}}
    assert {name: data for name, (_, data, _) in files.items()} == {"inputs.row": npy(ROW), "inputs.photo": png_of()}


def test_numpy_numbers_are_parameters_and_targets(client: Client, queue: FakeQueue) -> None:
    made = client.explain("digits", png_of(), "integrated_gradients", target=np.int64(2), steps=np.int64(3))
    assert made.method["steps"] == 3
    assert queue.orders[0].job.target is not None
    with pytest.raises(TypeError, match="name it"):
        client.explain("digits", png_of(), steps=3)


def test_a_problem_is_an_exception_with_its_code(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.explain("nothing", png_of(), "gradient")
    assert (refused.value.code, refused.value.status) == ("unknown_model", 422)
    with pytest.raises(Refused, match="/method/steps") as refused:
        client.explain("digits", png_of(), "integrated_gradients", steps=-1)
    assert refused.value.errors
    with pytest.raises(Unreachable, match="whence up"):
        Client("http://127.0.0.1:1").models()


def test_failed_and_unfinished_work_are_exceptions(client: Client, queue: FakeQueue) -> None:
    queue.runs_at_once = False
    client.patience = 0
    with pytest.raises(NotFinished) as late:
        client.explain("digits", png_of(), "gradient")
    assert late.value.id == queue.orders[0].job.id
    queue.put(late.value.id, "failed", Problem(code="not_finite", detail="it holds NaN"))
    with pytest.raises(WhenceError, match=r"it holds NaN \(not_finite\)"):
        client.explain("digits", png_of(), "gradient")
    with pytest.raises(Failed, match="the work was cancelled"):
        client.run(
            finish(httpx.Response(200, json={"status": "cancelled"}, request=httpx.Request("GET", "/x")), "", 9e9)
        )
    queue.put(late.value.id, "queued")
    client.patience = 20
    queue.results[late.value.id] = stored(queue.orders[0])
    queue.put(late.value.id, "succeeded")
    assert client.explanation(late.value.id).id == late.value.id


def test_a_full_service_says_when_to_come_again(client: Client, queue: FakeQueue) -> None:
    queue.full = QueueFull("no room", 700)
    with pytest.raises(Busy) as busy:
        client.explain("digits", png_of(), "gradient")
    assert (busy.value.seconds, busy.value.code) == (700, "queue_full")


def test_many_come_in_their_order_and_few_are_on_their_way(client: Client, queue: FakeQueue) -> None:
    taken: list[int] = []

    def inputs() -> Any:
        for value in range(9):
            taken.append(value)
            yield png_of(value)

    made = client.explain_many("digits", inputs(), "gradient", at_once=3, progress=False)
    first = next(made)
    assert len(taken) == 3
    digests = [first.document["input"], *(one.document["input"] for one in made)]
    assert digests == [digest_image(png_of(value)) for value in range(9)]


def test_an_error_stands_at_its_place_or_is_raised_there(client: Client) -> None:
    inputs: list[Any] = [png_of(1), b"no image", png_of(2)]
    kept = list(client.explain_many("digits", inputs, "gradient", keep_errors=True))
    assert [isinstance(one, Explanation) for one in kept] == [True, False, True]
    assert isinstance(kept[1], WhenceError)
    seen: list[Explanation] = []
    with pytest.raises(Refused):
        seen.extend(client.explain_many("digits", inputs, "gradient"))


def test_closing_the_iterator_withdraws_what_is_on_its_way(client: Client, queue: FakeQueue) -> None:
    def inputs() -> Any:
        for value in range(5):
            yield png_of(value)
            queue.runs_at_once = False

    made = client.explain_many("digits", inputs(), "gradient", at_once=4, progress=False)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert len(queue.withdrawn) == 3


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".png", ".json", ".html"])
def test_save_writes_what_the_name_asks_for(client: Client, tmp_path: Path, suffix: str) -> None:
    made = client.explain("digits", png_of(), "gradient")
    made.save(tmp_path / f"map{suffix}")
    begins = {".npy": b"\x93NUMPY", ".png": b"\x89PNG", ".json": b"{", ".html": b"<!doctype"}.get(suffix, b"")
    assert (tmp_path / f"map{suffix}").read_bytes().lower().startswith(begins.lower())
    with pytest.raises(ValueError, match=r"\.npy"):
        made.save(tmp_path / "map.txt")


def test_a_notebook_shows_picture_prediction_and_checks(client: Client) -> None:
    made = client.explain("digits", png_of(), "gradient", target=1)
    shown = made._repr_html_()
    assert "data:image/png;base64," in shown
    assert "one" in shown
    client.close()
    made = Explanation(made.document, client.fetch)
    assert "<table>" in made._repr_html_()  # without a picture, but without an error


def test_what_is_there_is_told(client: Client) -> None:
    assert {one["name"] for one in client.models()} == {"digits", "table"}
    assert client.model("digits")["classes"] == ["zero", "one", "two"]
    assert "lrp" in {one["name"] for one in client.methods()}


def test_the_client_imports_neither_torch_nor_the_service() -> None:
    script = (
        "import sys, whence; wrong = {'torch', 'service', 'workers', 'fastapi', 'pydantic', 'redis', 'PIL'}"
        " & {name.partition('.')[0] for name in sys.modules}; assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
