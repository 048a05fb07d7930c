"""Several inputs as one: their files in one blob, and a digest of theirs by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from safetensors.numpy import load

from workers.explanation.tensors import encode_safetensors

FileKind: TypeAlias = Literal["image", "tensor", "text"]
Kind: TypeAlias = FileKind | Literal["inputs"]


class File(NamedTuple):
    """One input as it is stored: the bytes of an image, a .npy or a text, and their digest."""

    kind: FileKind
    digest: str
    data: bytes


def digest_inputs(files: Mapping[str, File]) -> str:
    """ "sha256:" and 64 hex digits over the names and digests of the inputs, in whatever order they came."""
    told = json.dumps({name: file.digest for name, file in files.items()}, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(b"inputs" + told.encode()).hexdigest()


def bundle(files: Mapping[str, File]) -> bytes:
    """The files in one blob (safetensors of bytes, by `kind:name`)."""
    return encode_safetensors(
        {f"{file.kind}:{name}": np.frombuffer(file.data, np.uint8) for name, file in files.items()}
    )


def unbundle(data: bytes) -> dict[str, tuple[FileKind, bytes]]:
    """Kind and bytes of each input by its name."""
    found: dict[str, tuple[FileKind, bytes]] = {}
    for key, array in load(data).items():
        kind, _, name = key.partition(":")
        found[name] = (kind, array.tobytes())  # type: ignore[assignment]  # we wrote it
    return found
