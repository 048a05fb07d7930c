"""Any explanation that one wants, by a shift that no prediction can tell (the book's Fig. 14.6).

Use: python -m reproductions.attack. The digits' own model, a four, and the drawing of an eight that is to come out. By
method, prints the correlation of what the second model's explanation shows with that drawing, the shift as the attack
has it and clipped to 0.3, and draws pictures/attack.png. Takes half a minute on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.places import DIGITS, ROOT
from tests.resources import in_memory
from tests.toys import batch_of
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load_model

HERE = Path(__file__).parent
DIGEST = "sha256:" + "8" * 64
CLIP = 0.3
NOISE = 0.02  # on a black ground values tie, and rounding would choose
METHODS: tuple[tuple[str, Any, str], ...] = (
    ("gradient times input", "input_times_gradient", "moves"),
    ("integrated gradients, zero", "integrated_gradients", "moves"),
    ("integrated gradients, black", {"name": "integrated_gradients", "baseline": "minimum"}, "moves"),
    ("LRP-epsilon", {"name": "lrp", "composite": "epsilon"}, "moves"),
    ("gradient", "gradient", "stays"),
    ("guided backprop", "guided_backprop", "stays"),
)


def digit(name: int) -> Tensor:
    """An example as the model takes it (1, 1, 28, 28)."""
    pixels = np.asarray(Image.open(ROOT / "examples" / f"{name}.png").convert("L"), np.float32) / 255
    return torch.from_numpy(pixels)[None, None]


def correlation(one: Tensor, other: Tensor) -> float:
    """Of two maps."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]).double())[0, 1])


def attacked(model: Model, x: Tensor, wanted: Tensor, of: Any, clip: float | None) -> tuple[Tensor, Tensor]:
    """What the method attributes by the first model, and by the second."""
    resources = in_memory(x)
    resources.inputs[DIGEST] = wanted[0]
    method = parse_method({"name": "shift_attack", "of": of, "wanted": {"digest": DIGEST}, "clip": clip})
    found = method.explain(model, batch_of(x, resources=resources)).arrays
    return found["first"], found["attribution"]


def main() -> int:
    """Exit code 1 where one that the book has moving does not, or one that should stay does not."""
    model = load_model(read_folder(DIGITS))
    torch.manual_seed(0)
    x, wanted = digit(4) + NOISE * torch.rand(1, 1, 28, 28), digit(8)
    rows, wrong = [], 0
    print(f"{'':28} {'with the drawing: before':>26} {'after':>8} {'clipped':>8}   book")
    for name, of, book in METHODS:
        first, whole = attacked(model, x, wanted, of, None)
        _, clipped = attacked(model, x, wanted, of, CLIP)
        said = [correlation(one, wanted) for one in (first, whole, clipped)]
        moved = float((whole - first).norm() / first.norm()) > 1e-2
        wrong += moved != (book == "moves")
        print(f"{name:28} {said[0]:26.2f} {said[1]:8.2f} {said[2]:8.2f}   {book}")
        rows.append([first, clipped, whole])
    _draw(rows)
    return int(wrong > 0)


def _draw(rows: list[list[Tensor]]) -> None:
    """A row a method: before, clipped, whole."""
    sheets = [np.concatenate([_shown(one) for one in row], 1) for row in rows]
    path = HERE / "pictures" / "attack.png"
    Image.fromarray(np.concatenate(sheets)).resize((3 * 140, len(rows) * 140), Image.Resampling.NEAREST).save(path)


def _shown(values: Tensor) -> np.ndarray[Any, Any]:
    """Red for, blue against, on a scale of its own."""
    found = values[0, 0].numpy()
    share = np.clip(found / max(float(np.abs(found).max()), 1e-12), -1, 1)
    white = np.ones((*share.shape, 3))
    white[..., 1:] -= np.maximum(share, 0)[..., None]
    white[..., :2] -= np.maximum(-share, 0)[..., None]
    return (white.clip(0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
