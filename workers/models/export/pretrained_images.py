"""What a folder of save_pretrained says of images: how a file becomes the model's tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.models.export.pretrained_text import read_json

MODES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers of what resizes an image


def image_section(config: Any, folder: Path) -> dict[str, Any]:
    """The section of the card, by preprocessor_config.json; without one by the size that the config names, 0 to 1."""
    said = read_json(folder / "preprocessor_config.json")
    size = said.get("crop_size" if said.get("do_center_crop") else "size") or getattr(config, "image_size", 224)
    height, width = _sides(size)
    image: dict[str, Any] = {"mode": "RGB", "resize": [height, width]}
    if said.get("do_center_crop"):
        shorter = said.get("size", {})
        image |= {"resize": shorter["shortest_edge"]} if "shortest_edge" in shorter else {"resize": [*_sides(shorter)]}
        image["crop"] = height
    if "resample" in said:
        image["interpolation"] = MODES.get(said["resample"], "bilinear")
    if said.get("do_rescale", True):
        image["scale"] = float(said.get("rescale_factor", 1 / 255)) * 255
    else:
        image["scale"] = 255.0
    if said.get("do_normalize", "image_mean" in said):
        image |= {"mean": list(said["image_mean"]), "std": list(said["image_std"])}
    channels = getattr(config, "num_channels", 3)
    return {"kind": "image", "shape": [channels, height, width], "image": image}


def _sides(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        side = size.get("shortest_edge", size.get("height"))
        return int(side), int(size.get("width", side))
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
