"""How the vector of a text is made of those of its tokens, as a folder of sentence-transformers says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.explanation.errors import InvalidFolder
from workers.models.export.pretrained_modules import Head, at_places, last_place
from workers.models.export.pretrained_text import read_json

FOLDER = "1_Pooling"
KNOWN = ("Transformer", "Pooling", "Normalize")


def pooling_of(folder: Path) -> Head:
    """The mean, where nothing is said; raises InvalidFolder where modules follow that are not known here."""
    listed = folder / "modules.json"
    modules = json.loads(listed.read_text("utf-8")) if listed.is_file() else []
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if other := [kind for kind in kinds if kind not in KNOWN]:
        raise InvalidFolder(
            f"{folder}: its modules.json has a {other[0]}, which is not read from a folder; write a factory that "
            "returns the vector, as python:net.py:build"
        )
    places = {kind: str(module.get("path", "")) for kind, module in zip(kinds, modules, strict=True)}
    said = read_json(folder / places.get("Pooling", FOLDER) / "config.json")
    chosen = _chosen(said, folder)

    def pooled(out: Any, there: Tensor) -> Tensor:
        hidden: Tensor = out.last_hidden_state
        weights = there.unsqueeze(2).to(hidden.dtype)
        found = torch.cat([pool(hidden, weights) for pool in chosen], 1)
        return nn.functional.normalize(found, dim=1) if "Normalize" in kinds else found

    return pooled


def _chosen(said: Mapping[str, Any], folder: Path) -> list[Callable[[Tensor, Tensor], Tensor]]:
    if "pooling_mode" in said:
        named = [said["pooling_mode"]] if isinstance(said["pooling_mode"], str) else list(said["pooling_mode"])
    else:
        named = [name for name, (older, _) in POOLINGS.items() if said.get(older)]
    if unknown := [name for name in named if name not in POOLINGS]:
        raise InvalidFolder(f"{folder}: its pooling is {unknown[0]!r}; read are {', '.join(POOLINGS)}")
    return [POOLINGS[name][1] for name in named or ["mean"]]


def _first(hidden: Tensor, _: Tensor) -> Tensor:
    return hidden[:, 0]


def _mean(hidden: Tensor, weights: Tensor) -> Tensor:
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _largest(hidden: Tensor, weights: Tensor) -> Tensor:
    return hidden.masked_fill(weights == 0, -torch.inf).amax(1)


def _mean_by_root(hidden: Tensor, weights: Tensor) -> Tensor:
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1).sqrt()


def _last(hidden: Tensor, weights: Tensor) -> Tensor:
    return at_places(hidden, last_place(weights[:, :, 0] != 0))


def _weighted(hidden: Tensor, weights: Tensor) -> Tensor:
    rising = torch.arange(1, hidden.shape[1] + 1, device=hidden.device).to(hidden.dtype)
    return _mean(hidden, weights * rising[None, :, None])


# By sentence-transformers' names, in its order; older files say which by a yes or no for each.
POOLINGS: Mapping[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "cls": ("pooling_mode_cls_token", _first),
    "max": ("pooling_mode_max_tokens", _largest),
    "mean": ("pooling_mode_mean_tokens", _mean),
    "mean_sqrt_len_tokens": ("pooling_mode_mean_sqrt_len_tokens", _mean_by_root),
    "weightedmean": ("pooling_mode_weightedmean_tokens", _weighted),
    "lasttoken": ("pooling_mode_lasttoken", _last),
}
