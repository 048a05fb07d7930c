"""Digests of inputs."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save

from workers.explanation.tensors import (
    decode_npy,
    decode_safetensors,
    digest_image,
    digest_tensor,
    encode_npy,
    from_json,
)

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_the_digest_is_of_the_values_however_they_came() -> None:
    ways = [
        decode_npy(encode_npy(VALUES)),
        decode_npy(encode_npy(VALUES.astype(np.float64))),
        decode_npy(encode_npy(VALUES.astype(">i4"))),
        decode_safetensors(save({"x": VALUES})),
        from_json({"shape": [2, 3], "dtype": "int64", "data": list(range(6))}),
        np.asfortranarray(VALUES),
    ]
    assert {digest_tensor(array) for array in ways} == {digest_tensor(VALUES)}


def test_the_digest_tells_shapes_and_values_apart() -> None:
    different = [VALUES, VALUES.T, VALUES.reshape(3, 2), VALUES.reshape(6), VALUES[None], VALUES + 1]
    assert len({digest_tensor(array) for array in different}) == len(different)


def test_digests_are_what_they_were() -> None:
    """Ids and stored inputs hang on these: they never change."""
    assert digest_tensor(VALUES) == "sha256:f00a784386784045050894607beeae651b92eb7eb2cdfed9c3477f1a6c576afe"
    assert digest_image(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
