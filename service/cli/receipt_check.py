"""Judging a receipt: is it whole, is it of this input, and does what was computed again agree with it? No network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

from workers.contract import (
    File,
    InputError,
    as_float32,
    canonical_json,
    comparable,
    decode_npy,
    decode_safetensors,
    digest_image,
    digest_inputs,
    digest_tensor,
    digest_text,
    distance,
    seal,
)

SIGNATURE = "signature"
FIELDS = ("id", "job", "versions", "device", "machine", "computed_at", "sha256", "sketches", "seal")
CIRCUMSTANCES = ("versions", "device", "machine")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`same_bits` of every array; else `apart`, the largest distance of two arrays over their norm, by array name.

    `differing` names the circumstances that were others.
    """

    same_bits: bool
    apart: Mapping[str, float]
    differing: tuple[str, ...]

    def holds(self, tolerance: float | None) -> bool:
        """Whether no array is further apart; None allows nothing but the same bits."""
        return self.same_bits or (tolerance is not None and all(one <= tolerance for one in self.apart.values()))


def tampered(receipt: Any) -> str | None:
    """What in a receipt contradicts another part of it; None where all agrees."""
    if not isinstance(receipt, dict) or set(receipt) - {SIGNATURE} != set(FIELDS):
        return f"a receipt is a JSON object of {', '.join(FIELDS)}"
    if hashlib.sha256(canonical_json(receipt["job"])).hexdigest() != receipt["id"]:
        return "its id is not the hash of its job: model, input, target, method or revision were changed"
    if seal(receipt) != receipt["seal"]:
        return "its seal does not fit: something in it was changed"
    made, sums = receipt["sha256"], receipt["sketches"]
    if not (isinstance(made, dict) and isinstance(sums, dict) and set(sums) <= set(made)):
        return "its digests and sketches are not of the same arrays"
    if not all(isinstance(one, dict) and comparable(one.get("sums")) for one in sums.values()):
        return "its sketches are none"
    return None


def is_of(digest: str, given: bytes | Mapping[str, bytes]) -> bool:
    """Whether the bytes of a file are the input of this digest: an image's or a text's own, or those of its tensor.

    Of several inputs by name, whether all together are.
    """
    if isinstance(given, bytes):
        return digest in _digests(given)
    each = ([File("tensor", one, b"") for one in _digests(data)] for data in given.values())
    return any(digest_inputs(dict(zip(given, files, strict=True))) == digest for files in product(*each))


def compare(receipt: Mapping[str, Any], fresh: Mapping[str, Any]) -> Verdict:
    """A receipt with that of the same work, done again."""
    differing = tuple(name for name in CIRCUMSTANCES if receipt[name] != fresh[name])
    if receipt["sha256"] == fresh["sha256"]:
        return Verdict(True, {}, differing)
    return Verdict(False, dict(_apart(receipt, fresh)), differing)


def request_of(job: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The request that asks for a job, less its input."""
    return {"model": model, "method": job["method"], "target": _target(job["target"])}


def _apart(receipt: Mapping[str, Any], fresh: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    made, again = receipt["sha256"], fresh["sha256"]
    for name in sorted({*made, *again}):
        if made.get(name) == again.get(name):
            continue
        one, other = receipt["sketches"].get(name), fresh["sketches"].get(name)
        alike = one is not None and other is not None and one["shape"] == other["shape"]
        yield name, distance(one, other) if alike else float("inf")


def _target(target: Mapping[str, Any] | None) -> Any:
    """A job's target in the words of a request."""
    match target:
        case None:
            return "argmax"
        case {"kind": "class", "index": index}:
            return index
        case {"kind": "mask", "index": index, "mask": mask}:
            return {"class": index, "mask": mask}
        case {"kind": "value"}:
            return "value"
        case _:
            return {name: value for name, value in target.items() if name not in ("kind", "axis") and value is not None}


def _digests(data: bytes) -> Iterator[str]:
    """What the digest of the bytes may be: a tensor's where they are one, else an image's or a text's."""
    values = None
    for decode in (decode_npy, decode_safetensors):
        with suppress(InputError):
            values = as_float32(decode(data))
    if values is not None:
        yield digest_tensor(values)
        if values.shape[:1] == (1,):
            yield digest_tensor(values[0])
        return
    yield digest_image(data)
    with suppress(UnicodeDecodeError):
        yield digest_text(data.decode())
