"""Draws what some classes of SqueezeNet would like best, from nothing but the net: pictures/synthesis.png.

Use: python docs/draw_synthesis.py FOLDER, the folder of squeezenet1_1. About two minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from service.render.frame import Caption
from service.render.style import Look
from service.render.synthesis import draw_synthesis
from service.render.text import number
from workers.engine.model.batch import Batch
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load

CLASSES = {"zebra": 340, "flamingo": 130, "strawberry": 949, "hot-air balloon": 417, "peacock": 84, "pretzel": 932}
PRIORS = [{"kind": "total_variation", "weight": 300}, {"kind": "jitter"}, {"kind": "rotate"}, {"kind": "scale"}]


def main(folder: Path) -> None:
    model = load(read_folder(folder))
    method = parse_method({"name": "activation_maximization", "priors": PRIORS})
    blank = torch.zeros(1, *model.card.input.shape)
    rows = [method.explain(model, Batch(blank, [ClassTarget(index=i)], [0])).rows()[0] for i in CLASSES.values()]
    notes = [f"{name}: {number(row.info['activation'][0])}" for name, row in zip(CLASSES, rows, strict=True)]
    made, trace = (np.concatenate([row.arrays[name] for row in rows]) for name in ("synthesis", "trace"))
    caption = Caption(
        "activation_maximization: six classes", "model squeezenet1_1; total variation, jitter, rotation, scale"
    )
    drawn = draw_synthesis(made, trace, model.card.input.image, Look(size=720), caption, notes)
    (Path(__file__).parent / "pictures" / "synthesis.png").write_bytes(drawn)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
