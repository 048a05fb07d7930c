"""What a folder of save_pretrained says of images: how a file becomes the model's tensor, and whether that is so."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.explanation.card import ImageSpec
from workers.explanation.errors import InputError, InvalidFolder
from workers.explanation.images.decoding import prepare
from workers.models.export.pretrained_text import by_library, read_json

FILE = "preprocessor_config.json"
MODES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers of what resizes an image
LARGE = 384  # from here on ConvNeXt's images are not cropped
LEVELS = 5.0  # of 255, by which two ways to resize a picture may differ on average: half a pixel's place
SIZE = (403, 301)  # of the picture that is tried

log = logging.getLogger(__name__)


def image_preparation(folder: Path) -> Any:
    """What the library makes of preprocessor_config.json; None where it makes nothing."""
    return by_library("AutoImageProcessor", folder) if (folder / FILE).is_file() else None


def image_section(config: Any, folder: Path, processor: Any) -> dict[str, Any]:
    """The section of the card, by what the library reads of preprocessor_config.json; without one by the size that the
    config names, 0 to 1."""
    said = read_json(folder / FILE) if processor is None else processor.to_dict()
    size = said.get("crop_size" if said.get("do_center_crop") else "size") or getattr(config, "image_size", 224)
    height, width = _sides(size)
    image: dict[str, Any] = {"mode": "BGR" if said.get("do_flip_channel_order") else "RGB", "resize": [height, width]}
    if said.get("do_center_crop"):
        shorter = said.get("size", {})
        image |= {"resize": shorter["shortest_edge"]} if "shortest_edge" in shorter else {"resize": [*_sides(shorter)]}
        image["crop"] = height
    if isinstance(image["resize"], int) or "crop_pct" in said:
        image |= _before_crop(said, height)
    if "resample" in said:
        image["interpolation"] = MODES.get(said["resample"], "bilinear")
    scale = float(said.get("rescale_factor", 1 / 255)) * 255 if said.get("do_rescale", True) else 255.0
    image["scale"] = scale
    channels = getattr(config, "num_channels", 3)
    normal = said.get("do_normalize", processor is None and "image_mean" in said)
    mean, std = (list(said[f"image_{key}"]) if normal else [of] * channels for key, of in (("mean", 0.0), ("std", 1.0)))
    if said.get("rescale_offset") or said.get("offset"):
        mean = [one + 1 for one in mean]
    if said.get("include_top") and normal:  # EfficientNet divides once more
        std = [one * one for one in std]
    image |= {"mean": mean, "std": std} if normal or any(mean) else {}
    return {"kind": "image", "shape": [channels, height, width], "image": image}


def _before_crop(said: Mapping[str, Any], side: int) -> dict[str, Any]:
    """How an image is resized of which only the middle is kept, by kinds that say how much of it."""
    size, kind = said.get("size", {}), str(said.get("image_processor_type", said.get("feature_extractor_type", "")))
    shorter = size.get("shortest_edge", side) if isinstance(size, Mapping) else size
    if kind.startswith("ConvNext"):
        if shorter >= LARGE:
            return {"resize": [shorter, shorter]}
        return {"resize": int(shorter / (said.get("crop_pct") or 224 / 256)), "crop": shorter}
    if kind.startswith("Levit"):
        return {"resize": int(256 / 224 * shorter)}
    if said.get("crop_pct"):
        return {"resize": int(shorter / said["crop_pct"]), "crop": side}
    return {}


def check_image(section: Mapping[str, Any], folder: Path, processor: Any) -> None:
    """Raise InvalidFolder where the library makes another tensor of a picture than the section does."""
    if processor is None:
        return
    spec, shape = ImageSpec.model_validate(section["image"]), tuple(section["shape"])
    picture = _picture()
    file = io.BytesIO()
    picture.save(file, "PNG")
    try:
        ours, _ = prepare(file.getvalue(), spec, shape)
    except InputError as error:
        raise InvalidFolder(
            f"{folder}: {type(processor).__name__} does what a card cannot say: {error.detail}"
        ) from None
    try:
        theirs = np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0], np.float32)
    except Exception:
        log.debug("the image processor of %s does not run", folder, exc_info=True)
        return
    level = np.asarray(spec.scale / 255 / np.asarray(spec.std)).reshape(-1, 1, 1)
    if theirs.shape == ours.shape and (gap := float((np.abs(theirs - ours) / level).mean())) <= LEVELS:
        return
    told = f"tensors of the shape {list(theirs.shape)}" if theirs.shape != ours.shape else f"{gap:.3g} of 255 levels"
    raise InvalidFolder(
        f"{folder}: its {type(processor).__name__} does more with an image than a card can say (a picture became "
        f"{list(ours.shape)} by the card, and differs: {told}); write a factory that takes what it makes, as "
        "python:net.py:build with --resize, --crop, --mean and --std, and do the rest in the module"
    )


def _picture() -> Image.Image:
    """Smooth blots of all colours with an edge, in no shape that a model takes."""
    blots = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    picture = Image.fromarray(blots).resize(SIZE, Image.Resampling.BICUBIC)
    picture.paste((250, 20, 90), (150, 90, 260, 170))
    return picture


def _sides(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        side = size.get("shortest_edge", size.get("height"))
        return int(side), int(size.get("width", side))
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
