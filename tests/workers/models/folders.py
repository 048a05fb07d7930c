"""Model folders for tests: a toy network, its weights, its card, each part open to being made wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file
from torch import Tensor

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 5))
"""
SHAPES = {"0.weight": (2, 3, 3, 3), "0.bias": (2,), "3.weight": (5, 32), "3.bias": (5,)}
CARD: dict[str, Any] = {
    "model": {"source": "python:net.py:build", "weights": "weights.safetensors"},
    "input": {"kind": "image", "shape": [3, 6, 6], "image": {"resize": [6, 6]}},
    "labels": {"file": "labels.txt"},
}


def weights() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}


def changed(card: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The card with values at dotted keys; None removes the key."""
    result: dict[str, Any] = {
        key: changed(value, {}) if isinstance(value, Mapping) else value for key, value in card.items()
    }
    for dotted, value in changes.items():
        *sections, last = dotted.split(".")
        table = result
        for section in sections:
            table = table.setdefault(section, {})
        if value is None:
            table.pop(last, None)
        else:
            table[last] = value
    return result


def write_folder(path: Path, changes: Mapping[str, Any] | None = None, text: str | None = None) -> Path:
    """A toy folder, right but for the changes to its card (or the card's text)."""
    path.mkdir(parents=True)
    (path / "card.toml").write_text(text or tomli_w.dumps(changed(CARD, changes or {})))
    (path / "net.py").write_text(NET)
    (path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    save_file(weights(), path / "weights.safetensors")
    return path
