"""Folders of save_pretrained of many kinds: what is exported answers as the library's own call does, pairs included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.vision import torchvision
from tests.workers.models.test_pretrained import SMALL, TWO, WORDS, readers, write_tokenizer
from tests.workers.models.texts import text_work
from workers.engine.model.model import Model
from workers.export import main
from workers.models.folder import Folder, read_folder
from workers.models.loading import read_program
from workers.runtime.execute.model_inputs import prepared

torchvision()
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LABELS = {"id2label": SMALL["id2label"], "label2id": SMALL["label2id"]}
FIRST, SECOND = "the cats sat on mat", "dog ran the mat"
GPT = {
    "vocab_size": len(WORDS), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40, "bos_token_id": 2,
    "eos_token_id": 3, **LABELS,
}  # fmt: skip
XLNET = {"vocab_size": len(WORDS), "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "pad_token_id": 0, **LABELS}
BART = {
    "vocab_size": len(WORDS), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 40,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3, **LABELS,
}  # fmt: skip
T5 = {
    "vocab_size": len(WORDS), "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "pad_token_id": 0,
    "decoder_start_token_id": 0, "eos_token_id": 3, **LABELS,
}  # fmt: skip
FUNNEL = {
    "vocab_size": len(WORDS), "block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32,
    "num_decoder_layers": 1, "pad_token_id": 0, **LABELS,
}  # fmt: skip
XLM = {
    "vocab_size": len(WORDS), "emb_dim": 16, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 40,
    "pad_index": 0, "pad_token_id": 0, **LABELS,
}  # fmt: skip
KINDS: Mapping[str, tuple[str, str, dict[str, Any], bool]] = {
    "places looked up in a table, no padding named": ("GPT2ForSequenceClassification", "GPT2Config", GPT, False),
    "read at the last end": ("BartForSequenceClassification", "BartConfig", BART, True),
    "begins with the last token": ("MBartForSequenceClassification", "MBartConfig", BART, False),
    "shifted by the library": ("T5ForSequenceClassification", "T5Config", T5, False),
    "two texts by their types": ("BertForSequenceClassification", "BertConfig", SMALL, True),
    "two texts without types": ("RobertaForSequenceClassification", "RobertaConfig", SMALL, True),
    "questions": ("BertForQuestionAnswering", "BertConfig", {**SMALL, **TWO}, True),
    "checks its lengths": ("XLMForSequenceClassification", "XLMConfig", XLM, False),
    "checks its lengths, too": ("FlaubertForSequenceClassification", "FlaubertConfig", XLM, False),
    "of one length": ("FunnelForSequenceClassification", "FunnelConfig", FUNNEL, False),
}
TYPED = ("Bert",)  # whose tokenizers say of which of two texts a token is


class Case:
    def __init__(self, kind: str, place: Path) -> None:
        torch.manual_seed(5)
        name, config, settings, self.pair = KINDS[kind]
        self.module: Any = getattr(transformers, name)(getattr(transformers, config)(**settings)).eval()
        for parameter in self.module.parameters():
            nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else None
        self.module.save_pretrained(place / "saved")
        write_tokenizer(place / "saved")
        given = ["input_ids", "attention_mask", *(["token_type_ids"] if name.startswith(TYPED) else [])]
        library = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(place / "saved" / "tokenizer.json"), pad_token="[PAD]", model_input_names=given
        )
        library.save_pretrained(place / "saved")
        more = ["--pair"] if self.pair and "Answering" not in name else []
        assert main([f"transformers:{place / 'saved'}", "--out", str(place / "out"), "--length", "24", *more]) == 0
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(place / "saved", local_files_only=True)
        self.folder: Folder = read_folder(place / "out")
        self.whole = Model.from_program(self.folder, read_program(self.folder), dtype=torch.float64, chunk=8)
        self.module.double()

    def ours(self, text: str) -> tuple[torch.Tensor, Mapping[str, Any]]:
        given = prepared(text_work(text), self.folder.named, readers(self.folder))
        model = self.whole.sized(given.shapes)
        x = model.join({name: torch.from_numpy(row)[None].double() for name, row in given.rows.items()})
        return model.forward(x), given.texts["input"]

    def theirs(self, *texts: str) -> torch.Tensor:
        given = self.tokenizer(*texts, return_tensors="pt")
        self.module.config.pad_token_id = self.module.config.pad_token_id or 0
        with torch.no_grad():
            out = self.module(**given, return_dict=True)
        return torch.stack([out.start_logits, out.end_logits], 1) if "start_logits" in out else out.logits


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_the_library_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = Case(kind, tmp_path)
    texts = [(FIRST,), (SECOND,), *([(FIRST, SECOND)] if case.pair else [])]
    for sent in texts:
        ours, told = case.ours("\n".join(sent))
        theirs = case.theirs(*sent)
        torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs, rtol=0, atol=1e-6)
        whole = "\n".join(sent)
        assert [one["text"] for one in told["words"]] == [word for one in sent for word in one.split()]
        assert all(whole[one["start"] : one["end"]] == one["text"] for one in told["words"])


def test_a_model_that_reads_the_last_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """XLNet's texts are padded in front."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    module = transformers.XLNetForSequenceClassification(transformers.XLNetConfig(**XLNET))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.dim() > 1 else None
    module.save_pretrained(tmp_path / "saved")
    write_tokenizer(tmp_path / "saved")
    library = transformers.PreTrainedTokenizerFast(tokenizer_file="saved/tokenizer.json", pad_token="[PAD]")
    library.save_pretrained(tmp_path / "saved")
    assert main(["transformers:saved", "--out", "out", "--length", "24"]) == 1
    assert "padding behind 'The cats sat on a mat.' changes its answer" in capsys.readouterr().err


def saved_encoder(place: Path, **config: Any) -> Path:
    torch.manual_seed(5)
    transformers.BertModel(transformers.BertConfig(**SMALL)).eval().save_pretrained(place)
    write_tokenizer(place)
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return place


def test_an_encoder_with_modules_that_are_not_read_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dense layer behind the mean was left out without a word."""
    monkeypatch.chdir(tmp_path)
    folder = saved_encoder(tmp_path / "saved", pooling_mode_mean_tokens=True)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert main([f"transformers:{folder}", "--out", "out"]) == 1
    assert "modules.json has a Dense" in capsys.readouterr().err


def test_a_tokenizer_that_the_library_changes_is_taken_as_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BertTokenizer lower-cases and adds [CLS] and [SEP]; the file beside it does neither."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    folder = tmp_path / "saved"
    transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    raw = json.loads((folder / "tokenizer.json").read_text())
    wanted = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)("The cats")["input_ids"]
    assert main([f"transformers:{folder}", "--out", "out", "--length", "24"]) == 0
    out = read_folder(tmp_path / "out")
    assert list(readers(out)["input"].encode("The cats").ids) == wanted
    assert raw
