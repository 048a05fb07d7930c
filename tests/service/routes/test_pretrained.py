"""Folders of save_pretrained over HTTP: one token's class, where an answer starts, a box's class; their pictures."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.vision import torchvision
from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from workers.engine.model.model import Model
from workers.explanation.images.decoding import prepare
from workers.export import main
from workers.models.folder import read_folder
from workers.models.loading import load

torchvision()
transformers = pytest.importorskip("transformers")

from tests.workers.models.test_pretrained import KINDS, write_tokenizer  # noqa: E402  # needs transformers

URL = "/api/v1/explanations"
LINE = "the cats sat on"  # [CLS] the cat ##s sat on [SEP]: seven tokens, padded to eight
CAT, SEVEN = 2, 7
BACKBONE = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
DETECTOR = {
    "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "d_model": 16, "num_queries": 5,
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "id2label": {0: "cat", 1: "dog"}, "label2id": {"cat": 0, "dog": 1},
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def modules() -> dict[str, Any]:
    torch.manual_seed(5)
    backbone = transformers.ResNetConfig(**BACKBONE, out_features=["stage2"])
    found = {name: KINDS[name][0](KINDS[name][1]) for name in ("tokens", "answers")}
    config = transformers.DetrConfig(**DETECTOR, backbone_config=backbone)
    found["detector"] = transformers.DetrForObjectDetection(config)
    for parameter in (one for module in found.values() for one in module.parameters()):
        nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else None
    return {name: module.eval() for name, module in found.items()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Model]]:
    """The modules, and the models of the folders that they were exported to."""
    place, found = tmp_path_factory.mktemp("saved"), modules()
    models: dict[str, Model] = {}
    for name, module in found.items():
        module.save_pretrained(place / name)
        if name == "detector":
            size = {"size": {"height": 32, "width": 48}}
            (place / name / "preprocessor_config.json").write_text(json.dumps(size))
        else:
            write_tokenizer(place / name)
        assert main([f"transformers:{place / name}", "--out", str(place / "models" / name)]) == 0
        model = load(read_folder(place / "models" / name))
        assert isinstance(model, Model)
        models[name] = model
    return found, models


@pytest.fixture
async def client(saved: tuple[dict[str, Any], dict[str, Model]]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(log_level="CRITICAL"), WorkingQueue(saved[1]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        yield client


def ids() -> torch.Tensor:
    return torch.tensor([[2, 5, 6, 7, 8, 9, 3]])


async def asked(client: httpx.AsyncClient, model: str, target: Any, method: Any = "lrp") -> dict[str, Any]:
    body = {"model": model, "method": method, "target": target, "input": {"text": LINE}}
    answer = await client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def pictures(client: httpx.AsyncClient, told: Mapping[str, Any]) -> tuple[np.ndarray[Any, Any], str]:
    """The heat map's pixels, and the page."""
    png = await client.get(told["links"]["heatmap"])
    page = await client.get(told["links"]["self"], headers={"accept": "text/html"})
    return np.asarray(Image.open(io.BytesIO(png.content)).convert("RGB")), page.text


async def test_one_tokens_class_is_explained_as_the_library_scores_it(
    saved: tuple[dict[str, Any], dict[str, Model]], client: httpx.AsyncClient
) -> None:
    logits = saved[0]["tokens"](ids()).logits[0].detach()
    told = await asked(client, "tokens", {"output": "output", "index": [1, CAT]})
    assert told["target"] == {"kind": "element", "index": [1, CAT], "label": "B", "token": "cat"}
    assert told["explained"]["score"] == pytest.approx(float(logits[CAT, 1]), abs=1e-4)
    assert told["explained"]["probability"] == pytest.approx(float(logits[CAT].softmax(0)[1]), abs=1e-5)
    assert told["prediction"] == [{"index": [1, CAT], "label": "B", **told["explained"]}]
    assert [token["text"] for token in told["texts"]["input"]["tokens"]][CAT] == "cat"
    drawn, page = await pictures(client, told)
    assert "output B at token 2 (cat)" in page
    (piece,) = (part for part in page.split("<b ") if "framed" in part.partition(">")[0])
    assert ">cat</b>" in piece
    of_all, _ = await pictures(client, await asked(client, "tokens", "B"))
    black = [(one.max(axis=2) < 60)[60:].sum() for one in (drawn, of_all)]  # below the title: letters, and the frame
    assert black[0] > black[1]


async def test_a_mask_of_tokens_is_of_the_texts_own(
    saved: tuple[dict[str, Any], dict[str, Model]], client: httpx.AsyncClient
) -> None:
    logits = saved[0]["tokens"](ids()).logits[0].detach()
    mask = [token in (CAT, CAT + 1) for token in range(SEVEN)]
    told = await asked(client, "tokens", {"class": "B", "mask": mask}, "gradient")
    assert told["explained"]["score"] == pytest.approx(float(logits[[CAT, CAT + 1], 1].sum()), abs=1e-4)
    chances = logits.softmax(1)[[CAT, CAT + 1], 1].mean()
    assert told["explained"]["probability"] == pytest.approx(float(chances), abs=1e-5)
    for wrong in ([*mask, False], mask[:-1]):
        body = {"model": "tokens", "method": "gradient", "target": {"class": "B", "mask": wrong}}
        answer = await client.post(URL, json={**body, "input": {"text": LINE}})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_target")
        assert "has the places [7], unlike the mask" in answer.json()["detail"]


async def test_a_probability_of_one_token_is_explained(
    saved: tuple[dict[str, Any], dict[str, Model]], client: httpx.AsyncClient
) -> None:
    method = {"name": "shapley_sampling", "samples": 20, "score": "probability"}
    told = await asked(client, "tokens", {"output": "output", "index": [1, CAT]}, method)
    (check,) = told["checks"]
    table = saved[0]["tokens"].get_input_embeddings()
    there = torch.tensor([[False, True, True, True, True, True, False]])  # what the tokenizer adds stays
    given = table(ids())
    nothing = torch.where(there[..., None], 0.0, given)
    both = [saved[0]["tokens"](inputs_embeds=one).logits[0, CAT].softmax(0)[1] for one in (given, nothing)]
    assert check["expected"] == pytest.approx(float(both[0] - both[1]), abs=1e-5)
    assert check["observed"] == pytest.approx(check["expected"], abs=1e-5)


@pytest.mark.parametrize("end", [0, 1])
async def test_where_an_answer_starts_and_ends_is_a_number_of_its_own(
    saved: tuple[dict[str, Any], dict[str, Model]], client: httpx.AsyncClient, end: int
) -> None:
    out = saved[0]["answers"](ids(), attention_mask=torch.ones(1, SEVEN))
    wanted = (out.start_logits, out.end_logits)[end][0, 4].item()
    told = await asked(client, "answers", {"index": [end, 4]})
    assert told["target"] == {"kind": "element", "index": [end, 4], "label": ("start", "end")[end], "token": "sat"}
    assert told["explained"] == {"score": pytest.approx(wanted, abs=1e-4), "probability": None}
    _, page = await pictures(client, told)
    assert f"output {('start', 'end')[end]} at token 4 (sat)" in page


async def test_all_numbers_of_an_answer_are_never_one_of_them(client: httpx.AsyncClient) -> None:
    total = await asked(client, "answers", {"reduce": "sum"}, "gradient")
    assert total["target"] == {"kind": "reduced", "reduce": "sum"}
    for target, why in (
        ("value", r"numbers of the shape [2, *], and 'value' names none of them"),
        ({"index": [0, SEVEN]}, "the output for an input of this size has the shape [2, 7]"),
        ("start", 'the target names one of them, as {"index": [0, 0]}'),
    ):
        body = {"model": "answers", "method": "gradient", "target": target, "input": {"text": LINE}}
        answer = await client.post(URL, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_target")
        assert why in answer.json()["detail"]


async def test_the_score_of_a_box_and_its_corner_are_explained_over_the_picture(
    saved: tuple[dict[str, Any], dict[str, Model]], client: httpx.AsyncClient
) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(picture, "PNG")
    spec = saved[1]["detector"].published.input
    assert spec.image is not None
    pixels, _ = prepare(picture.getvalue(), spec.image, spec.shape)
    out = saved[0]["detector"](torch.from_numpy(pixels)[None])

    async def explained(target: Any) -> dict[str, Any]:
        form = {"model": "detector", "method": "lrp", "target": json.dumps(target)}
        answer = await client.post(URL, data=form, files={"input": ("street.png", picture.getvalue())})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    told = await explained({"output": "scores", "index": [1, 3]})
    assert told["target"] == {"kind": "element", "index": [1, 3], "label": "dog"}
    assert told["explained"]["score"] == pytest.approx(float(out.logits[0, 3, 1]), abs=1e-4)
    assert told["explained"]["probability"] == pytest.approx(float(out.logits[0, 3].softmax(0)[1]), abs=1e-5)
    drawn, page = await pictures(client, told)
    assert "output dog at 3" in page
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    corner = await explained({"output": "boxes", "index": [3, 2]})
    assert corner["explained"]["score"] == pytest.approx(float(out.pred_boxes[0, 3, 2]), abs=1e-5)
    card = (await client.get("/api/v1/models/detector")).json()
    assert (card["outputs"], card["labels"]) == ([3, 5], ["cat", "dog", "no object"])
