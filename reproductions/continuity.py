"""Do explanations move smoothly as an occluder slides over a photograph? (the book's Fig. 13.4)

Use: python -m reproductions.continuity MODEL PHOTOGRAPHS, a model's folder and one of images, of which the first ten
are taken. Prints how far the
explanations leap, and draws pictures/continuity.png (the first photograph's ways by principal components) and
pictures/continuity_steps.png (change of R per change of x).
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from service.render.plots.scores import png
from service.render.text import write
from tests.toys import batch_of
from workers.explanation.images.decoding import prepare
from workers.methods.catalogue import parse_method
from workers.methods.evaluation.continuity.compute import course
from workers.methods.nested.attributions import elsewhere
from workers.models.folder import read_folder
from workers.models.loading import load_model

PICTURES = Path(__file__).parent / "pictures"
STEPS = 40
TEN = 10
OF: list[Any] = [
    "input_times_gradient",
    {"name": "lrp", "composite": "composite"},
    {"name": "lrp", "composite": "epsilon_plus"},
]
NAMES = ("gradient times input", "LRP, composite (the book's)", "LRP, epsilon_plus")
SIDE = 300


def embedded(maps: Tensor) -> np.ndarray[Any, Any]:
    """The first two principal components of the maps of a way."""
    flat = maps.flatten(1).double()
    left, size, _ = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    found: np.ndarray[Any, Any] = (left[:, :2] * size[:2]).numpy()
    return found


def bends(points: np.ndarray[Any, Any]) -> float:
    """The mean cosine of the angle from step to step: 1 goes straight on, 0 goes anywhere."""
    steps = np.diff(points, axis=0)
    sizes = np.linalg.norm(steps, axis=1).clip(1e-12)
    return float(((steps[1:] * steps[:-1]).sum(1) / (sizes[1:] * sizes[:-1])).mean())


def drawn(ways: list[np.ndarray[Any, Any]]) -> Image.Image:
    """Each way in a square of its own, from dark to light."""
    page = Image.new("RGB", ((SIDE + 16) * len(ways) + 16, SIDE + 48), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for at, (points, name) in enumerate(zip(ways, NAMES, strict=True)):
        low, high = points.min(0), points.max(0)
        scaled = (points - (low + high) / 2) / (high - low).max() * (SIDE - 24) + SIDE / 2
        left = 16 + at * (SIDE + 16)
        write(draw, (left, 8), name, 14)
        draw.rectangle((left, 30, left + SIDE, 30 + SIDE), outline=(200, 200, 204))
        places = [(left + x, 30 + y) for x, y in scaled]
        for i, (start, end) in enumerate(pairwise(places)):
            shade = int(180 * i / len(places))
            draw.line((*start, *end), fill=(shade, shade, 255 - shade // 3), width=2)
        for x, y in places:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(16, 67, 168))
    return page


def main() -> int:
    model = load_model(read_folder(Path(sys.argv[1])))
    spec, of = model.card.input, tuple(parse_method(one) for one in OF)
    assert spec.image is not None
    rows, straight = [], []
    for path in sorted(Path(sys.argv[2]).glob("*.jpg"))[:TEN]:
        x = torch.from_numpy(prepare(path.read_bytes(), spec.image, spec.shape)[0])[None]
        batch = batch_of(x)
        made = parse_method({"name": "continuity", "of": OF, "steps": STEPS})
        rows.append(made.explain(model, batch_of(x)).rows()[0])
        way = course(model, batch, "occlusion", STEPS, None)[0]
        maps = [elsewhere(model, batch, way, torch.zeros(len(way), dtype=torch.long), one) for one in of]
        ways = [embedded(one) for one in maps]
        straight.append([bends(points) for points in ways])
        if len(rows) == 1:
            PICTURES.mkdir(exist_ok=True)
            drawn(ways).save(PICTURES / "continuity.png")
            meta = {"method": made.to_json(), "info": rows[0].info, "model": {"name": model.card.name}, "target": None}
            (PICTURES / "continuity_steps.png").write_bytes(png(meta, rows[0].arrays))
    print(f"{len(rows)} photographs, {STEPS} steps")
    print(f"{'method':28} {'relative change, largest':>26} {'cosine from step to step':>26}")
    for at, name in enumerate(NAMES):
        largest = np.median([row.arrays["relative"][at] for row in rows])
        print(f"{name:28} {largest:26.2f} {np.mean(straight, 0)[at]:26.2f}")
    smoother = sum(row.arrays["relative"][1] < row.arrays["relative"][0] for row in rows)
    print(f"LRP moves less than gradient times input on {smoother} of {len(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
