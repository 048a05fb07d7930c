"""Draws the gallery and one picture a method from a running Whence.

Use: python docs/gallery_models.py FOLDER, then serve FOLDER, models/digits and models/language with a labelled dataset
`digits` of handwritten digits, and: python docs/draw_gallery.py FOLDER [URL]. What the models cannot show is
named, and left without a picture.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from service.render.style import Picture
from workers.contract import catalogue

ROOT = Path(__file__).parent
PICTURES = ROOT / "pictures"
FOUR = ROOT.parent / "examples" / "4.png"
KINDS: tuple[Picture, ...] = ("heatmap", "overlay", "gray", "scaled", "mask", "outlines", "projection")
DATA = {"dataset": "digits"}
SEVERAL = ["gradient", "integrated_gradients", "lrp", "guided_backprop", "occlusion"]
ELSEWHERE = {"contextual_decomposition": "steps"}
FITTED = {"patterns": {"name": "pattern_fit", **DATA}}
ROWS, PLACES = list(range(28 * 28)), range(0, 20, 4)  # of a digit: bands of nine rows, each over the next
PARAMETERS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("pattern_net", "pattern_attribution"), FITTED),
    "signal_quality": {**FITTED, **DATA},
    "insens": {"rates": {"name": "activation_rates", **DATA}},
    "expected_gradients": DATA,
    "prediction_difference": {**DATA, "samples": 4},
    "spray": {"of": "lrp", **DATA},
    "ssa": {"branching": 3},
    "ssa_clusters": {"graphs": [{"name": "ssa", **DATA, "classes": [k], "images": 12} for k in range(10)]},
    "relevance_share": {"of": "lrp", **DATA, "axis": -2},
    "temperature": DATA,
    "randomization": {"of": SEVERAL[:4], "magnitudes": True},
    "pointing_game": {"of": SEVERAL, "box": [0.2, 0.2, 0.8, 0.8]},
    "box_ratio": {"of": SEVERAL, "box": [0.2, 0.2, 0.8, 0.8]},
    **{name: {"of": SEVERAL} for name in ("compare", "conservation", "continuity", "implementation_invariance")},
    **{
        name: {"of": SEVERAL}
        for name in ("input_shift_invariance", "minimal_deletion", "pixel_flipping", "sensitivity_n")
    },
    "consensus": {"of": SEVERAL[:3]},
    "resampling": {"of": {"name": "pattern_attribution", **FITTED}, "splits": 4},
    "rise": {"score": "probability"},
    "selectivity": {"of": SEVERAL},
    "difference": {"less": "lrp"},
    "noisy_inputs": {"samples": 60, "noise": 0.6},
    "at_temperature": {"temperature": 2.0},
    "top_items": DATA,
    "unit_concepts": DATA,
    "neon": {"fit": {"name": "neon_fit", **DATA, "clusters": 10}},
    "group_sums": {
        "groups": [{"name": f"rows {r} to {r + 8}", "features": ROWS[28 * r : 28 * (r + 9)]} for r in PLACES]
    },
}


def explained(client: httpx.Client, asked: dict[str, Any], shown: str = "", **look: float) -> Image.Image:
    """The picture of an explanation, once it is there; raises HTTPStatusError where there is none."""
    answer = client.post("/api/v1/explanations", json=asked).raise_for_status()
    place = f"/api/v1/explanations/{answer.json()['id']}"
    while client.get(place, params={"wait": 30}).json()["status"] in ("queued", "running"):
        pass
    accept = {} if shown else {"Accept": "image/png"}
    answer = client.get(f"{place}/{shown}.png" if shown else place, params=look, headers=accept).raise_for_status()
    return Image.open(BytesIO(answer.content)).convert("RGB")


def keep(picture: Image.Image, path: Path) -> None:
    """As a small file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = picture.quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def of_folder(path: Path, method: str) -> dict[str, Any]:
    """A request about the input of one of the gallery's models."""
    seen = np.load(path)
    tensor = {"shape": list(seen.shape), "data": seen.ravel().tolist()}
    return {"model": path.parent.name, "method": method, "input": {"tensor": tensor}}


def tensors(folder: Path) -> dict[str, Any]:
    """The two inputs of a gallery model that takes two."""
    seen = {name: np.load(folder / f"{name}.npy") for name in ("one", "other")}
    return {name: {"tensor": {"shape": list(a.shape), "data": a.ravel().tolist()}} for name, a in seen.items()}


def digit(method: dict[str, Any]) -> dict[str, Any]:
    """A request about the four: with an input and a target where the method takes them."""
    kind = catalogue()[method["name"]]
    asked: dict[str, Any] = {"model": "digits", "method": method}
    if kind.takes_input:
        asked["input"] = {"image": b64encode(FOUR.read_bytes()).decode()}
    if kind.takes_target:
        asked["target"] = "4"
    return asked


def methods(client: httpx.Client) -> None:
    """One picture a method, on the digits."""
    for name in catalogue().keys() - ELSEWHERE.keys() - {"collection", "word_deletion", "cell_correlation", "bilrp"}:
        try:
            picture = explained(client, digit({"name": name, **PARAMETERS.get(name, {})}))
        except httpx.HTTPStatusError as error:
            print(f"{name}: {error.response.text[:300]}")
        else:
            keep(picture, PICTURES / "methods" / f"{name}.png")


def kinds(client: httpx.Client) -> None:
    """The seven pictures of one explanation, three in a row."""
    drawn = [explained(client, digit({"name": "lrp", "composite": "alpha2_beta1"}), kind, share=0.1) for kind in KINDS]
    wide, high = max(picture.width for picture in drawn), max(picture.height for picture in drawn)
    sheet = Image.new("RGB", (3 * wide, 3 * high), "white")
    for i, picture in enumerate(drawn):
        sheet.paste(picture, (i % 3 * wide, i // 3 * high))
    keep(sheet, PICTURES / "gallery" / "kinds.png")


def others(client: httpx.Client, folder: Path) -> None:
    """An explanation of each of the gallery's models, methods that are for no digit, and many digits in one job."""
    for path in sorted(folder.glob("*/input.npy")):
        picture = explained(client, of_folder(path, "integrated_gradients"))
        keep(picture, PICTURES / "gallery" / f"{path.parent.name}.png")
    for name, model in ELSEWHERE.items():
        keep(explained(client, of_folder(folder / model / "input.npy", name)), PICTURES / "methods" / f"{name}.png")
    data = client.post("/api/v1/datasets", content=(folder / "steps" / "data.npz").read_bytes()).raise_for_status()
    cells = {"model": "steps", "method": {"name": "cell_correlation", "dataset": data.json()["digest"]}}
    keep(explained(client, cells), PICTURES / "methods" / "cell_correlation.png")
    asked = {"model": "likeness", "method": {"name": "bilrp", "patch": 1}, "inputs": tensors(folder / "likeness")}
    keep(explained(client, asked), PICTURES / "methods" / "bilrp.png")
    deletion = {"name": "word_deletion", "of": SEVERAL[:3], "steps": 6}
    asked = {"model": "language", "method": deletion, "input": {"text": "die Katze sitzt unter dem Tisch, sagte er"}}
    keep(explained(client, asked), PICTURES / "methods" / "word_deletion.png")
    every = {"dataset": client.get("/api/v1/datasets/digits").json()["digest"]}
    picture = explained(client, {"model": "digits", "method": "lrp", "input": every})
    keep(picture, PICTURES / "methods" / "collection.png")


if __name__ == "__main__":
    address = sys.argv[2] if len(sys.argv) > 2 else "http://localhost:8000"
    with httpx.Client(base_url=address, timeout=120) as whence:
        kinds(whence)
        others(whence, Path(sys.argv[1]))
        methods(whence)
