"""In process, on a BERT, a DistilBERT and a RoBERTa of random weights: methods of a text against Captum's.

Each model goes the way of a folder: save_pretrained, `whence export`, the archive read back. Told is the processor time
of one thread, which other processes spoil less than seconds. --quick: fewer rounds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.peers import agree
from benchmarks.side_by_side import Aim, Call, alternate, report
from benchmarks.vision import torchvision
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.target import ClassTarget, ElementTarget, Target
from workers.export import main as export
from workers.methods.catalogue import parse_method
from workers.models.folder import read_folder, text_reader
from workers.models.loading import load_program
from workers.runtime.execute.model_inputs import decoded

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(4000)]
TEXT = " ".join(WORDS[37 * i % 4000] for i in range(1, 23))  # 24 tokens with those that begin and end it
PADDING, FIRST, LAST, MASK = 0, 2, 3, 4
STEPS, ORDERS = 50, 20
AT = 5  # the token whose class, or whose being the start, is explained
SIZE = {"vocab_size": len(SPECIAL) + len(WORDS), "max_position_embeddings": 130, "pad_token_id": PADDING}
WIDE = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
THIN = {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024}
SIZES = (4, 8, 16, 25)


@dataclass(frozen=True)
class Kind:
    """A model, the target that is explained of it, and the same number of what the library returns."""

    architecture: str
    config: str
    settings: dict[str, Any]
    target: Target
    score: Callable[[Any], Tensor]


KINDS = (
    Kind("BertForSequenceClassification", "BertConfig", {**SIZE, **WIDE, "num_labels": 3}, ClassTarget(index=1),
         lambda out: out.logits[:, 1]),
    Kind("DistilBertForTokenClassification", "DistilBertConfig", {**SIZE, **THIN, "num_labels": 5},
         ElementTarget(index=(1, AT)), lambda out: out.logits[:, AT, 1]),
    Kind("RobertaForQuestionAnswering", "RobertaConfig", {**SIZE, **WIDE}, ElementTarget(index=(0, AT)),
         lambda out: out.start_logits[:, AT]),
)  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    announce(f"in process, four layers of 256, a text of {len(TEXT.split()) + 2} tokens: the same numbers on all sides")
    rounds = 3 if "--quick" in sys.argv else 9
    torchvision()
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as place:
            race = Race.of(kind, Path(place))
        race.integrated_gradients(rounds)
        race.deep_lift(rounds)
        race.shapley_sampling(max(rounds // 2, 3))


class Scored(nn.Module):
    """The target's score of ids, as the library computes it on a text without padding."""

    def __init__(self, module: nn.Module, score: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.score = module, score

    def forward(self, ids: Tensor) -> Tensor:
        return self.score(self.module(input_ids=ids, attention_mask=torch.ones_like(ids)))


@dataclass
class Race:
    """One text for all methods; Captum is given its ids, and our model the list of what is laid end to end of it."""

    name: str
    scored: Scored
    table: nn.Module
    ids: Tensor
    model: Model
    x: Tensor
    target: Target

    @classmethod
    def of(cls, kind: Kind, place: Path) -> Race:
        import transformers

        torch.manual_seed(0)
        module = getattr(transformers, kind.architecture)(getattr(transformers, kind.config)(**kind.settings)).eval()
        module.save_pretrained(place / "saved")
        tokenizer().save(str(place / "saved" / "tokenizer.json"))
        assert export([f"transformers:{place / 'saved'}", "--out", str(place / "model"), "--length", "64"]) == 0
        folder = read_folder(place / "model")
        (name,) = folder.named
        spec: InputSpec = folder.named[name]
        reader = text_reader(folder.tokenizers[name], spec, folder.name)
        given = decoded("text", TEXT.encode(), folder.named, {name: reader})
        model = Model.from_program(folder, load_program(folder)).sized(given.shapes)
        x = model.join({key: torch.from_numpy(row)[None] for key, row in given.rows.items()})
        ids = torch.from_numpy(given.seen[name]).long()[None]
        table = getattr(module, module.base_model_prefix).get_input_embeddings()
        return cls(kind.architecture, Scored(module, kind.score), table, ids, model, x, kind.target)

    @property
    def hidden(self) -> Tensor:
        """The ids with a hidden token's in the place of words; what the tokenizer added stays."""
        return torch.where(self.ids > LAST, MASK, self.ids)

    def ours(self, wanted: dict[str, Any]) -> Callable[[], Tensor]:
        """What a worker does of a batch, a number for each token; each call is a batch of its own."""
        method, count = parse_method(wanted), self.ids.shape[1]

        def run() -> Tensor:
            result = method.explain(self.model, Batch(self.x, [self.target], [0]))
            arrays = named(result, self.model.card.input, method.of_places()).arrays
            return torch.as_tensor(arrays["attribution"])[:, :count]

        return run

    def integrated_gradients(self, rounds: int) -> None:
        from captum.attr import LayerIntegratedGradients

        attribution = LayerIntegratedGradients(self.scored, self.table)

        def captum(size: int | None = None, delta: bool = False) -> Callable[[], Tensor]:
            def run() -> Tensor:
                found = attribution.attribute(
                    self.ids, baselines=self.hidden, n_steps=STEPS, internal_batch_size=size,
                    return_convergence_delta=delta,
                )  # fmt: skip
                values: Tensor = (found[0] if delta else found).sum(-1)
                return values.detach()

            return run

        best = fastest(captum)
        mine = self.ours({"name": "integrated_gradients", "steps": STEPS, "baseline": "mask"})
        agree(mine, captum(best))
        calls = {"Captum, as it comes": captum(), f"Captum, by {best}": captum(best),
                 f"Captum, by {best}, with its delta": captum(best, delta=True)}  # fmt: skip
        self.told(f"LayerIntegratedGradients, {STEPS} steps", calls, mine, rounds)

    def deep_lift(self, rounds: int) -> None:
        """Captum's rule is for modules that it hooks: the products of attention are none, and its sum is off."""
        from captum.attr import LayerDeepLift

        attribution = LayerDeepLift(self.scored, self.table)

        def captum() -> Tensor:
            found: Tensor = attribution.attribute(self.ids, baselines=self.hidden)
            return found.sum(-1).detach()

        mine = self.ours({"name": "deep_lift", "baseline": "mask"})
        with torch.no_grad():
            difference = float(self.scored(self.ids) - self.scored(self.hidden))
        for name, call in (("Captum", captum), ("Whence", mine)):
            print(f"   {name}'s DeepLIFT sums to {float(call().sum()):.4f} of a difference of {difference:.4f}")
        self.told("LayerDeepLift", {"Captum": captum}, mine, rounds)

    def shapley_sampling(self, rounds: int) -> None:
        from captum.attr import ShapleyValueSampling

        attribution = ShapleyValueSampling(self.scored)
        words = torch.where(self.ids > LAST, torch.arange(self.ids.shape[1]), 0)

        def captum(size: int) -> Callable[[], Tensor]:
            return lambda: attribution.attribute(
                self.ids, baselines=self.hidden, feature_mask=words, n_samples=ORDERS, perturbations_per_eval=size
            )

        best = fastest(captum)
        mine = self.ours({"name": "shapley_sampling", "samples": ORDERS, "fill": "mask"})
        torch.testing.assert_close(mine().sum(), captum(best)().sum().float(), rtol=1e-3, atol=1e-4)
        calls = {"Captum, as it comes": captum(1), f"Captum, by {best}": captum(best)}
        self.told(f"ShapleyValueSampling, {ORDERS} orders of {len(TEXT.split())} words", calls, mine, rounds)

    def told(self, what: str, theirs: dict[str, Callable[[], Tensor]], mine: Call, rounds: int) -> None:
        calls: dict[str, Call] = {**theirs, "Whence": mine}
        aims = [Aim("Whence", name, ratio=1.0) for name in theirs]
        report(
            f"{self.name}: {what}",
            alternate(calls, rounds, warmup=1, clock=time.process_time),
            next(iter(theirs)),
            aims,
        )


def fastest(captum: Callable[[int], Call]) -> int:
    """The size of passes at which a call takes the least."""
    taken = alternate({str(size): captum(size) for size in SIZES}, 2, warmup=1, clock=time.process_time)
    return int(min(taken, key=lambda size: min(taken[size])))


def tokenizer() -> Tokenizer:
    """A word, a token; [CLS] before and [SEP] behind."""
    found = Tokenizer(models.WordLevel({word: i for i, word in enumerate((*SPECIAL, *WORDS))}, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found.post_processor = processors.BertProcessing(("[SEP]", LAST), ("[CLS]", FIRST))
    found.add_special_tokens(SPECIAL)
    return found


if __name__ == "__main__":
    main()
