"""Text in pictures: in room, and in letters that can be drawn on any machine."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from service.render.text import fitted, fonts, length, number, write
from service.render.text.fonts import readable


def test_text_is_cut_to_its_room() -> None:
    assert fitted("x" * 500, 17, 100).endswith("...")
    assert length(fitted("x" * 500, 17, 100), 17) <= 100
    assert fitted("x" * 12, 17, 1000) == "x" * 12
    assert [number(v) for v in (0.12345, 12.345, 4.5612e-6, 0)] == ["0.123", "12.3", "4.56e-06", "0"]


def test_letters_that_no_font_has_lose_their_accent_or_are_their_code_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "BEYOND_ASCII", ("there is no such font.ttf",))
    assert readable("Caf\u00e9 \u4e2d\u6587, a\u200db\nc\ud800") == "Cafe U+4E2D U+6587 , ab c U+D800"
    assert readable("\u041a") == "U+041A"
    assert fitted("\u732b", 17, 100) == "U+732B"


@pytest.mark.parametrize(
    "label", ["Caf\u00e9", "\u043a\u043e\u0448\u043a\u0430", "\u03a9\u03bc\u03ad\u03b3\u03b1", "\u732b", "\u732b (cat)"]
)
def test_other_letters_are_drawn_where_a_font_has_them(label: str) -> None:
    if readable(label) != label:
        pytest.skip(f"no font of this machine has all letters of {label!a}")
    assert fitted(label, 17, 200) == label
    drawn = [written(shown) for shown in (label, "U" * len(label), label[::-1] + ".")]
    assert len({one.tobytes() for one in drawn}) == 3
    left, _, right, _ = drawn[0].getbbox() or (0, 0, 0, 0)
    assert right - left <= length(label, 17) + 2
    centred = written(label, "mm").getbbox() or (0, 0, 0, 0)
    assert (centred[0] + centred[2]) / 2 == pytest.approx(100, abs=2)


def written(label: str, anchor: str = "lm") -> Image.Image:
    """The label at the middle of a black image, in white."""
    image = Image.new("RGB", (200, 40))
    write(ImageDraw.Draw(image), (100 if anchor[0] == "m" else 0, 20), label, 17, ink=(255, 255, 255), anchor=anchor)
    return image
