"""How a folder of save_pretrained prepares images: as its own processor does, or refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.vision import torchvision
from workers.explanation.errors import InvalidFolder
from workers.models.export.pretrained_images import check_image, image_preparation, image_section

torchvision()
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CONFIG = SimpleNamespace(image_size=224, num_channels=3)
SHORT = {"size": {"shortest_edge": 224}}
OFFSET = {"rescale_offset": True, "rescale_factor": 1 / 127.5}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("ViT", {}, {"resize": [224, 224]}),
        ("ViT", {"do_normalize": False}, {"resize": [224, 224], "scale": 1.0}),
        ("ViT", {"do_rescale": False}, {"scale": 255.0}),
        ("DeiT", {}, {"resize": [256, 256], "crop": 224}),
        ("CLIP", {}, {"resize": 224, "crop": 224, "interpolation": "bicubic"}),
        ("ConvNext", {}, {"resize": [384, 384]}),
        ("ConvNext", SHORT, {"resize": 256, "crop": 224}),
        ("Levit", {}, {"resize": 256, "crop": 224}),
        ("PoolFormer", {}, {"resize": 248, "crop": 224}),
        ("MobileViT", {"size": {"shortest_edge": 288}}, {"mode": "BGR", "resize": 288, "crop": 256}),
        ("EfficientNet", {}, {"resize": [346, 346]}),
        ("EfficientNet", OFFSET, {"scale": 2.0}),
    ],
)
def test_a_picture_becomes_what_the_librarys_processor_makes_of_it(
    kind: str, settings: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    getattr(transformers, f"{kind}ImageProcessor")(**settings).save_pretrained(tmp_path)
    processor = image_preparation(tmp_path)
    section = image_section(CONFIG, tmp_path, processor)
    assert {key: section["image"][key] for key in expected} == expected
    check_image(section, tmp_path, processor)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("Perceiver", {}), ("ViT", {"do_resize": False}), ("Bit", {"do_center_crop": False})],
)
def test_what_a_card_cannot_say_is_refused(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    getattr(transformers, f"{kind}ImageProcessor")(**settings).save_pretrained(tmp_path)
    processor = image_preparation(tmp_path)
    section = image_section(CONFIG, tmp_path, processor)
    with pytest.raises(InvalidFolder, match=f"{kind}ImageProcessor does"):
        check_image(section, tmp_path, processor)
