"""What may be explained, as the body of a request: arrays, pictures, files, texts, and several of these by name."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

NPY = "application/x-npy"
MEDIA = {
    ".npy": NPY,
    ".safetensors": "application/vnd.safetensors",
    **{f".{name}": f"image/{name}" for name in ("png", "gif", "webp", "bmp", "tiff", "jpeg")},
    ".jpg": "image/jpeg",
    ".tif": "image/tiff",
    **dict.fromkeys((".pbm", ".pfm", ".pgm", ".pnm", ".ppm"), "image/x-portable-anymap"),
}
UNKNOWN = "application/octet-stream"  # its first bytes tell what it is

OWN = ("baseline", "fill", "other", "shift", "wanted")  # parameters that an input of one's own may be

Given: TypeAlias = Any  # an array, a PIL image, bytes, a path, a text, or a mapping of these
File: TypeAlias = tuple[str, bytes, str]


def files_of(given: Given) -> tuple[dict[str, Any], dict[str, File]]:
    """The fields of a request that a JSON part says, and the files that come beside it.

    Raises TypeError for what is no input, ValueError for an array of objects, FileNotFoundError for a path to nothing.
    """
    if given is None:
        return {}, {}
    if isinstance(given, Mapping):
        return _several(given)
    if (text := _text(given)) is not None:
        return {"input": {"text": text}}, {}
    return {}, {"input": ("input", *_content(given))}


def _content(given: Given) -> tuple[bytes, str]:
    """The bytes of one input that is no text, and their media type."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given), UNKNOWN
    if isinstance(given, str | Path):
        path = Path(given)
        return path.read_bytes(), MEDIA.get(path.suffix.lower(), UNKNOWN)
    if hasattr(given, "save") and hasattr(given, "mode"):  # a PIL image, without Pillow
        return _encoded(given), "image/png"
    return npy(given), NPY


def npy(given: Any) -> bytes:
    """An array, or a tensor of any library, as .npy bytes. Raises TypeError, ValueError."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    array = np.asarray(given)
    if array.dtype == object or array.dtype.kind in "USV":
        raise TypeError(
            f"an input is an array of numbers, a PIL image, a path, a text or a mapping of these, not {type(given)!r}"
        )
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    return out.getvalue()


def plain(value: Any) -> Any:
    """Parameters as JSON has them: numpy's numbers and arrays become Python's."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a method as JSON has them; an array, picture or file that is an input of one's own as one."""
    return {str(name): _inline(one) if name in OWN and _is_input(one) else plain(one) for name, one in given.items()}


def _is_input(value: Any) -> bool:
    return isinstance(value, bytes | Path) or any(hasattr(value, name) for name in ("save", "__array__", "detach"))


def _inline(given: Given) -> dict[str, Any]:
    """An input within JSON."""
    if (text := _text(given)) is not None:
        return {"text": text}
    content, media = _content(given)
    if media != NPY:
        return {"image": base64.b64encode(content).decode()}
    array = np.load(io.BytesIO(content), allow_pickle=False)
    return {"tensor": {"shape": list(array.shape), "dtype": array.dtype.name, "data": array.ravel().tolist()}}


def _several(given: Mapping[str, Given]) -> tuple[dict[str, Any], dict[str, File]]:
    """Inputs by name: texts within JSON, all else as the bytes that it would be sent as alone."""
    texts, files = {}, {}
    for name, one in given.items():
        if (text := _text(one)) is not None:
            texts[str(name)] = {"text": text}
        else:
            files[f"inputs.{name}"] = (str(name), *_content(one))
    return ({"inputs": texts} if texts or not files else {}), files


def _text(given: Given) -> str | None:
    return given if isinstance(given, str) and is_text(given) else None


def is_text(given: str) -> bool:
    """Whether a string is no file, and does not look as if it should have been one."""
    looks = Path(given).suffix.lower() in MEDIA and not any(letter.isspace() for letter in given)
    try:
        is_file = Path(given).is_file()
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        is_file = False
    return not (is_file or looks)


def flattened(paths: Iterable[Path]) -> list[str]:
    """A name without folders for each path, and for none the name of another: a/b-c and a-b/c are a-b-c and a-b-c-2."""
    found: dict[str, None] = {}
    for path in paths:
        name, count = "-".join(path.parts), 1
        while name in found:
            count += 1
            name = "-".join(path.with_stem(f"{path.stem}-{count}").parts)
        found[name] = None
    return list(found)


def _encoded(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
