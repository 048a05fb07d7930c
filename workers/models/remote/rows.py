"""Rows of a model's input in the forms that servers take, and their answers as numbers."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter, PredictorFailed

Floats: TypeAlias = NDArray[np.float32]


def to_json(value: Any) -> bytes:
    """JSON, arrays as nested lists, each number by the fewest digits that name it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def columns(rows: Floats, spec: InputSpec) -> list[list[Any]]:
    """The values of each column: a category as its people write it, numbers without a fraction as whole ones."""
    found: list[list[Any]] = []
    for at, name in enumerate(spec.names):
        values = rows[:, at]
        words = spec.categories.get(name, ())
        if any(isinstance(word, str) for word in words):
            found.append([words[int(code)] for code in _codes(values, len(words), name)])
        elif np.array_equal(values, np.round(values)) and np.abs(values).max(initial=0) < 2**53:
            found.append(values.astype(np.int64).tolist())
        else:
            found.append([float(str(value)) for value in values])
    return found


def _codes(values: Floats, count: int, name: str) -> Floats:
    """The same; raises InvalidParameter where a method made up a value that is no category."""
    if not np.isin(values, np.arange(count)).all():
        raise InvalidParameter(
            f"this method moves {name} to values that are none of its categories; take one that does not, such as "
            "kernel_shap or occlusion with the background as fill",
            pointer="/method",
        )
    return values


def as_type(rows: Floats, kind: str, spec: InputSpec) -> NDArray[Any]:
    """The same in another type of numbers, those of a picture rounded to whole ones where these are.

    Raises InvalidParameter where a method made up a value between two whole numbers that mean something, or beyond all.
    """
    found = np.dtype(kind)
    if found.kind == "f":
        return rows.astype(found)
    low, high = (0, 1) if found.kind == "b" else (np.iinfo(found).min, np.iinfo(found).max)
    if spec.kind == "image":
        return np.clip(np.rint(rows), low, high).astype(found)
    exact = rows.astype(np.float64)  # in which a type's ends are themselves
    if not (np.array_equal(exact, np.rint(exact)) and (exact >= low).all() and (exact <= high).all()):
        raise InvalidParameter(
            "the predictor takes whole numbers, and this method moves the input to values between them, or beyond "
            "their type; take one that does not, such as occlusion or kernel_shap with zero as fill",
            pointer="/method",
        )
    return rows.astype(found)


def records(rows: Floats, spec: InputSpec) -> list[list[Any]]:
    """The same row by row."""
    return [list(row) for row in zip(*columns(rows, spec), strict=True)]


def to_csv(rows: Floats, spec: InputSpec, *, named: bool) -> bytes:
    """Lines of values, `named` under a line of names where the columns have some."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if spec.names:
        writer.writerows([spec.names] if named else [])
        writer.writerows(records(rows, spec))
    else:
        writer.writerows([[str(value) for value in row] for row in rows.reshape(len(rows), -1)])
    return text.getvalue().encode()


def pngs(rows: Floats, spec: InputSpec) -> list[bytes]:
    """Each row as the picture that its preprocessing would make it of, resized and cropped, rounded to 8 bits."""
    assert spec.image is not None
    image = spec.image
    shape = (1, -1, 1, 1)
    pixels = (rows * np.reshape(image.std, shape) + np.reshape(image.mean, shape)) / image.scale * 255
    planes = np.clip(np.round(pixels), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    found = []
    for plane in planes:
        file = io.BytesIO()
        shown = plane[..., 0] if image.mode == "L" else plane[..., ::-1] if image.mode == "BGR" else plane
        Image.fromarray(np.ascontiguousarray(shown)).save(file, "PNG", compress_level=1)
        found.append(file.getvalue())
    return found


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def numbers(values: Any, labels: Sequence[str], output: str | None) -> NDArray[Any]:
    """What a server answered as an array (n, ...); of rows that are objects the named output, or the labels' values.

    Whole numbers stay such. Raises PredictorFailed, which says what stands there instead.
    """
    if isinstance(values, Mapping) and output in values:
        values = values[output]
    if isinstance(values, list) and values and all(isinstance(row, Mapping) for row in values):
        values = [_of_object(row, labels, output) for row in values]
    try:
        found = np.asarray(values)
    except ValueError:
        raise PredictorFailed("the predictor answered with rows of different lengths") from None
    if found.dtype.kind in "biuf":
        return found
    first = next((one for one in _leaves(values) if not isinstance(one, int | float)), None)
    if isinstance(first, str):
        raise PredictorFailed(
            f"the predictor answered with text, as {first[:40]!r}, and numbers are what is explained: have it serve "
            "probabilities or scores"
        )
    what = "null" if first is None else "an object" if isinstance(first, Mapping) else type(first).__name__
    raise PredictorFailed(f"the predictor answered with {what} where a number should be")


def predictions(told: Mapping[str, Any], labels: Sequence[str], output: str | None) -> NDArray[Any]:
    """The numbers of an answer's predictions, which may be an object of outputs: the named one, or the only one."""
    if "predictions" not in told:
        raise PredictorFailed("the predictor's answer has no predictions")
    values = told["predictions"]
    if output is None and isinstance(values, Mapping) and len(values) == 1:
        values = next(iter(values.values()))
    return numbers(values, labels, output)


def _of_object(row: Mapping[str, Any], labels: Sequence[str], output: str | None) -> Any:
    if output is not None and output in row:
        return row[output]
    if labels and set(labels) <= set(row):
        return [row[label] for label in labels]
    if output is None and len(row) == 1:
        return next(iter(row.values()))
    numbered = [str(at) for at in range(len(row))]  # as a table whose columns have no names is written
    if output is None and set(numbered) == set(row):
        return [row[at] for at in numbered]
    there = ", ".join(sorted(map(str, row)))[:200]
    wanted = f"no {output!r}" if output else "not all labels of the card; its [remote] output may name one of them"
    raise PredictorFailed(f"the predictor answered with objects that have {there} and {wanted}")


def _leaves(values: Any) -> Any:
    if isinstance(values, list):
        for value in values:
            yield from _leaves(value)
    else:
        yield values
