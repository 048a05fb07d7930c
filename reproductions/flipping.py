"""Which signal estimator is best, unit by unit and for the whole net? (seed 002, Fig. 3 and 4)

Use: python -m reproductions.flipping MODEL IMAGES, a folder of ResNet-20 and an .npz of CIFAR-10: x_train (n, 32, 32,
3) uint8. For rho the images are three sets as in the seed: estimators are fitted on the first 700, v is found on the
next 550, rho read on the last 250. Those are then degraded patch by patch, by estimators fitted on the first 1000.
Prints both and draws pictures/flipping.png.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.render.plots.scores import png
from tests.resources import InMemory, InMemoryDataset, no_input
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load_model

PICTURE = Path(__file__).parent / "pictures" / "flipping.png"
FITTED, OPTIMISED, READ, EXPLAINING = slice(0, 700), slice(700, 1250), slice(1250, 1500), slice(0, 1000)
ESTIMATORS = {"filter": "S_w", "linear": "S_a", "two_component": "S_a+-"}
PATCH, STEPS = 3, 100


class Resources(InMemory):
    """What is kept on the way is a job's own: here all jobs would share it."""

    def saved(self, _: str) -> None:
        return None


def patterns(estimator: str, dataset: str) -> dict[str, Any]:
    return {"name": "pattern_fit", "dataset": dataset, "estimator": estimator}


def quality(model: Model, resources: Resources) -> None:
    """The mean rho over the units of each layer; of all layers the mean."""
    found = {}
    for estimator in ESTIMATORS:
        sets = {"patterns": patterns(estimator, "fitted"), "dataset": "optimised", "read_on": "read"}
        asked = {"name": "signal_quality", **sets}
        row = parse_method(asked).explain(model, no_input(model, resources)).rows()[0]
        found[estimator], found["random"] = row.arrays["scores"], row.arrays["random"]
        layers = [one["layer"] for one in row.info["layers"]]
    names = ["random", *ESTIMATORS]
    print(f"{'rho by layer':24}" + "".join(f"{name:>15}" for name in names))
    for i, layer in enumerate(layers):
        print(f"{layer:24}" + "".join(f"{found[name][i]:15.3f}" for name in names))
    print(f"{'mean':24}" + "".join(f"{found[name].mean():15.3f}" for name in names))


def degrade(model: Model, resources: Resources) -> None:
    """The probability of the class as patches go; and the same in an order by chance."""
    of: list[Any] = [{"name": "pattern_attribution", "patterns": patterns(one, "explaining")} for one in ESTIMATORS]
    of += [{"name": "lrp", "composite": "zero"}, "gradient"]
    names = [f"PatternAttribution, {sign}" for sign in ESTIMATORS.values()] + ["S_x (LRP-0)", "gradient"]
    asked = {"name": "pixel_flipping", "of": of, "dataset": "read", "patch": PATCH, "steps": STEPS}
    method = parse_method(asked)
    row = method.explain(model, no_input(model, resources)).rows()[0]
    chance = parse_method({**asked, "of": "gradient", "order": "random"})
    by_chance = chance.explain(model, no_input(model, resources)).rows()[0]
    arrays = {name: np.concatenate([row.arrays[name], by_chance.arrays[name]]) for name in ("scores", "curves")}
    arrays["at"] = row.arrays["at"]
    names.append("by chance")
    print(f"{'area over the curve':34}{'mean':>8}{'after 10':>10}{'after 30':>10}")
    for name, score, curve in zip(names, arrays["scores"], arrays["curves"], strict=True):
        print(f"{name:34}{score:8.3f}{curve[10]:10.3f}{curve[30]:10.3f}")
    info = {**row.info, "methods": [{"label": name} for name in names]}
    meta = {"method": method.to_json(), "info": info, "model": {"name": model.card.name}, "target": None}
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(png(meta, arrays))


def main() -> int:
    model = load_model(read_folder(Path(sys.argv[1])))
    spec = model.card.input.image
    assert spec is not None
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    x = (torch.from_numpy(np.load(sys.argv[2])["x_train"]).permute(0, 3, 1, 2).float() / 255 - mean) / std
    parts = {"fitted": FITTED, "optimised": OPTIMISED, "read": READ, "explaining": EXPLAINING}
    resources = Resources({name: InMemoryDataset(x[part]) for name, part in parts.items()})
    quality(model, resources)
    degrade(model, resources)
    return 0


if __name__ == "__main__":
    sys.exit(main())
