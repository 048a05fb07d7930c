"""Folders of save_pretrained: exported with tokenizer and labels, explained as Captum explains the module itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captum.attr
import pytest
import torch
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, processors
from torch import Tensor, nn

from benchmarks.vision import torchvision
from tests.workers.models.texts import text_work
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import ClassTarget, ElementTarget, Target, ValueTarget
from workers.export import main
from workers.methods.catalogue import parse_method
from workers.methods.extent import Extent
from workers.models.folder import Folder, read_folder
from workers.models.loading import read_program
from workers.runtime.execute.model_inputs import Prepared, prepared

torchvision()
transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "on", "mat", "dog", "ran"]
TEXT = "the cats sat on mat"
SMALL = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": "relu",
    "intermediate_size": 32, "max_position_embeddings": 40, "pad_token_id": 0, "id2label": {0: "no", 1: "yes", 2: "so"},
    "label2id": {"no": 0, "yes": 1, "so": 2},
}  # fmt: skip
DISTIL = {
    "vocab_size": len(WORDS), "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 40,
    "activation": "relu", "pad_token_id": 0, "id2label": {0: "O", 1: "B"}, "label2id": {"O": 0, "B": 1},
}  # fmt: skip
TWO = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
KINDS: dict[str, tuple[Any, Any, Target]] = {
    "sequence": (transformers.BertForSequenceClassification, transformers.BertConfig(**SMALL), ClassTarget(index=1)),
    "tokens": (
        transformers.DistilBertForTokenClassification, transformers.DistilBertConfig(**DISTIL),
        ElementTarget(index=(1, 2)),
    ),
    "answers": (
        transformers.RobertaForQuestionAnswering,
        transformers.RobertaConfig(**{**SMALL, **TWO}),
        ElementTarget(index=(0, 3)),
    ),
    "similarity": (transformers.BertModel, transformers.BertConfig(**SMALL), ValueTarget()),
}  # fmt: skip


def write_tokenizer(folder: Path) -> None:
    library = Library(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    library.add_special_tokens(WORDS[:5])
    library.save(str(folder / "tokenizer.json"))


class Case:
    """A module, the folder it was exported to, and its model in float64 for the text."""

    def __init__(self, kind: str, place: Path) -> None:
        torch.manual_seed(5)
        of, config, self.target = KINDS[kind]
        self.module: Any = of(config).eval()
        for parameter in self.module.parameters():
            nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else None
        self.module.save_pretrained(place / "saved")
        write_tokenizer(place / "saved")
        more = ["--pair"] if kind == "similarity" else []
        assert main([f"transformers:{place / 'saved'}", "--out", str(place / kind), *more, "--length", "24"]) == 0
        self.kind = kind
        self.folder: Folder = read_folder(place / kind)
        self.module.double()
        model = Model.from_program(self.folder, read_program(self.folder), dtype=torch.float64, chunk=8)
        pair = {"one": "the cats", "other": "dog ran"}
        self.texts = pair if kind == "similarity" else {"input": TEXT}
        self.given: Prepared = prepared(text_work(self.texts), self.folder.named, readers(self.folder))
        self.model = model.sized(self.given.shapes)
        self.x = self.model.join({name: torch.from_numpy(row)[None].double() for name, row in self.given.rows.items()})

    def explained(self, method: dict[str, Any]) -> tuple[dict[str, Tensor], Any]:
        configured = parse_method(method)
        result = configured.explain(self.model, Batch(self.x, [self.target], [0]))
        arrays = named(result, self.model.card.input, configured.of_places()).arrays
        wanted = {
            (name.partition(".")[2] or "input"): torch.as_tensor(array)[0]
            for name, array in arrays.items()
            if name.partition(".")[0] == "attribution"
        }
        return {name: array[: len(self.given.seen[name])] for name, array in wanted.items()}, result

    @property
    def ids(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(seen).long()[None] for name, seen in self.given.seen.items()}

    def words(self) -> dict[str, Tensor]:
        return {name: self.given.rows[f"{name}.words"][: len(ids[0])] for name, ids in self.ids.items()}  # type: ignore[misc]

    @property
    def table(self) -> nn.Embedding:
        base = getattr(self.module, self.module.base_model_prefix, self.module)
        found: nn.Embedding = base.get_input_embeddings()
        return found

    def score(self, *looked_up: Tensor) -> Tensor:
        """The target from what the embedding looks up, unpadded, as the library computes it."""
        out = [self.module(inputs_embeds=one, attention_mask=torch.ones(one.shape[:2]).long()) for one in looked_up]
        if self.kind == "sequence":
            return out[0].logits[:, 1]  # type: ignore[no-any-return]
        if self.kind == "tokens":
            return out[0].logits[:, 2, 1]  # type: ignore[no-any-return]
        if self.kind == "answers":
            return out[0].start_logits[:, 3]  # type: ignore[no-any-return]
        first, second = (nn.functional.normalize(one.last_hidden_state.mean(1), dim=1) for one in out)
        return (first * second).sum(1)

    def looked_up(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """What the embedding has for each text, and with its own tokens as padding."""
        given, hidden = [], []
        for name, ids in self.ids.items():
            kept = torch.from_numpy(self.given.rows[f"{name}.words"][: ids.shape[1]] < 0)[None]
            given.append(self.table(ids).detach())
            hidden.append(self.table(torch.where(kept, ids, 0)).detach())
        return tuple(given), tuple(hidden)


def readers(folder: Folder) -> dict[str, Any]:
    from workers.models.folder import text_reader

    return {name: text_reader(file, folder.named[name], folder.name) for name, file in folder.tokenizers.items()}


@pytest.fixture(scope="module", params=list(KINDS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp(request.param)
        patch.chdir(place)
        yield Case(request.param, place)


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_folder_holds_tokenizer_labels_and_output(case: Case) -> None:
    labels = {"sequence": ("no", "yes", "so"), "tokens": ("O", "B"), "answers": ("start", "end"), "similarity": ()}
    outputs = {"sequence": "logits", "tokens": "segmentation", "answers": "value", "similarity": "value"}
    assert case.folder.labels == labels[case.kind]
    assert case.folder.output == outputs[case.kind]
    assert all(spec.kind == "text" and spec.length == 24 for spec in case.folder.inputs.values())


def test_it_scores_as_the_module_does_on_an_unpadded_text(case: Case) -> None:
    given, _ = case.looked_up()
    ours = case.model.scores(case.x, [case.target])
    torch.testing.assert_close(ours, case.score(*given).detach(), rtol=0, atol=1e-9)


def test_integrated_gradients_are_captums_summed_over_the_embedding(case: Case) -> None:
    given, hidden = case.looked_up()
    ours, _ = case.explained({"name": "integrated_gradients", "baseline": "pad", "steps": 50})
    captums = captum.attr.IntegratedGradients(case.score).attribute(given, hidden, n_steps=50)
    for (name, mine), theirs in zip(ours.items(), captums, strict=True):
        torch.testing.assert_close(mine, theirs[0].sum(1), rtol=0, atol=1e-8, msg=name)


def test_shapley_values_are_captums_with_words_as_features(case: Case) -> None:
    given, hidden = case.looked_up()
    masks, first = [], 1
    for name, one in zip(case.ids, given, strict=True):
        words = torch.from_numpy(case.given.rows[f"{name}.words"][: one.shape[1]]).long()
        masks.append(torch.where(words < 0, 0, words + first)[None, :, None].expand_as(one).contiguous())
        first += int(words.max()) + 1
    captums = captum.attr.ShapleyValues(case.score).attribute(given, hidden, feature_mask=tuple(masks))
    ours, result = case.explained({"name": "shapley_sampling", "fill": "pad", "samples": 2000})
    for mine, theirs, mask in zip(ours.values(), captums, masks, strict=True):
        for word in range(1, first):
            here = mask[0, :, 0] == word
            if here.any():
                # Captum adds up in float32
                torch.testing.assert_close(mine[here].sum().float(), theirs[0, here, 0][0].float(), rtol=0, atol=1e-6)
    (check,) = result.checks[0]
    assert check.gap < 1e-9


def test_lrp_conserves_but_for_what_biases_and_stabilisers_take(case: Case) -> None:
    ours, result = case.explained({"name": "lrp", "composite": "epsilon"})
    (check,) = result.checks[0]
    assert check.observed == pytest.approx(float(sum(one.sum() for one in ours.values())), abs=1e-6)
    (row,) = result.info
    kept = sum(layer["given"] - layer["handed"] for layer in row["layers"])
    assert check.observed + kept == pytest.approx(check.expected, abs=1e-4)


def test_deep_lift_is_complete(case: Case) -> None:
    _, result = case.explained({"name": "deep_lift", "baseline": "pad"})
    (check,) = result.checks[0]
    assert check.observed == pytest.approx(check.expected, abs=1e-7)


def test_padding_changes_no_number(case: Case) -> None:
    """The same text padded further has the same attributions, token by token."""
    rows = {name: torch.from_numpy(row)[None].double() for name, row in case.given.rows.items()}
    longer = {
        name: torch.nn.functional.pad(row, (0, 7), value=-1 if name.endswith(".words") else 0)
        for name, row in rows.items()
    }
    model = case.model
    wide = Model.from_program(case.folder, read_program(case.folder), dtype=torch.float64, chunk=8)
    wide = wide.sized(tuple(tuple(row.shape[1:]) for row in longer.values()))
    x = wide.join(longer)
    torch.testing.assert_close(wide.scores(x, [case.target]), model.scores(case.x, [case.target]), rtol=0, atol=1e-9)
    for method in ("gradient", "integrated_gradients", "deep_lift", "lrp", "occlusion", "shapley_sampling"):
        own, _ = case.explained({"name": method})
        configured = parse_method(method)
        found = named(configured.explain(wide, Batch(x, [case.target], [0])), wide.card.input, configured.of_places())
        for name, mine in own.items():
            key = "attribution" if name == "input" else f"attribution.{name}"
            padded = torch.as_tensor(found.arrays[key])[0]
            torch.testing.assert_close(padded[: len(mine)], mine, rtol=0, atol=1e-7, msg=f"{method} {name}")


def test_two_texts_of_a_folder_are_paired_token_by_token(case: Case) -> None:
    """Half of each token's pairs is its own number; a pass is told for each number of the vectors."""
    if case.kind != "similarity":
        with pytest.raises(MethodNotApplicable, match="takes 1: input"):
            parse_method("bilrp").refuse(case.model)
        return
    maps, result = case.explained({"name": "bilrp"})
    (pairs,) = result.arrays["pairs"]
    for (name, own), axis in zip(maps.items(), (1, 0), strict=True):
        torch.testing.assert_close(own, pairs.sum(axis)[: len(case.given.seen[name])] / 2)
    assert parse_method("bilrp").passes(Extent(case.model.card)) == 1 + 16
