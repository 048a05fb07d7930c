"""Word deletion over lines of the demo: python -m reproductions.word_deletion --data /usr/share/dict [--lines 200].

The book's Figure 11.5, left: words go in the order of their relevance. Prints the areas over the curves, and these;
writes pictures/word_deletion.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from service.render.plots import scores
from tests.tree import ROOT
from tests.workers.models.texts import text_work
from workers.explanation.tensors import decode_npy
from workers.models.folder import read_folder
from workers.models.loading import load_model
from workers.runtime.execute.run import run

OF: list[Any] = [
    "occlusion",
    "lrp",
    "integrated_gradients",
    "input_times_gradient",
    {"name": "gradient", "reduce": "square"},
]
PICTURES = Path(__file__).parent / "pictures"
STEPS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with the five word lists")
    parser.add_argument("--lines", type=int, default=200)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "models" / "language"))
    from data import is_test, lines, read_words  # type: ignore[import-not-found]  # beside the model

    words = {name: [word for word in those if is_test(word)] for name, those in read_words(options.data).items()}
    texts, _ = lines(words, options.lines, np.random.default_rng(0))
    model = load_model(read_folder(ROOT / "models" / "language"))
    curves: list[np.ndarray[Any, Any]] = []
    labels: list[str] = []
    for order, of in (("morf", OF), ("random", OF[:1])):
        works = [text_work(text, {"name": "word_deletion", "of": of, "steps": STEPS, "order": order}) for text in texts]
        found = [outcome for _, outcome in run(works, lambda _: model)]
        curves.append(np.mean([decode_npy(one.arrays["curves"]) for one in found], axis=0))  # type: ignore[union-attr]
        said = [one["label"] for one in found[0].meta["info"]["methods"]]  # type: ignore[union-attr]
        labels += said if order == "morf" else ["random"]
    together = np.concatenate(curves)
    for label, curve in zip(labels, together, strict=True):
        print(f"{label:40} {(curve[0] - curve).mean():.3f}   {np.round(curve, 2).tolist()}")
    meta = {
        "id": "0" * 64, "kind": "scores", "method": {"name": "word_deletion"}, "model": {"name": "language"},
        "info": {
            "about": f"{len(texts)} lines of words that it was not trained on",
            "methods": [{"label": label, "score": float((curve[0] - curve).mean())} for label, curve in
                        zip(labels, together, strict=True)],
            "axes": {"x": "words taken away", "y": "logit of the target"}, "measure": "area over the curve",
        },
    }  # fmt: skip
    arrays = {
        "curves": together,
        "at": np.arange(STEPS + 1, dtype=np.float32),
        "scores": (together[:, :1] - together).mean(1),
    }
    (PICTURES / "word_deletion.png").write_bytes(scores.png(meta, arrays))


if __name__ == "__main__":
    main()
