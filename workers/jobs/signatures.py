"""The operator's signature on receipts: Ed25519 over the seal, which is of all the rest."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_DOMAIN = b"whence receipt v1\n"  # so that no other signature of the key is one of a receipt


class KeyFileRefused(Exception):
    """A file holds no key of the kind that is wanted; the message says which."""


class Signer:
    """Signs receipts with one key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._name = key_name(key.public_key())

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Of a PEM file that holds an Ed25519 private key without a password; raises KeyFileRefused."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise KeyFileRefused(f"the key in {path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileRefused(
                f"{path} holds no Ed25519 private key in PEM without a password; whence keys signing makes one"
            )
        return cls(key)

    def signed(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt with its signature: the key's name, and 64 bytes in base64."""
        value = base64.b64encode(self._key.sign(_message(receipt))).decode()
        return {**receipt, "signature": {"algorithm": "ed25519", "key": self._name, "value": value}}


def new_key() -> tuple[bytes, bytes]:
    """A key pair as PEM: private, public."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


def public_key(path: Path) -> Ed25519PublicKey:
    """Of a PEM file; raises KeyFileRefused."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise KeyFileRefused(f"the key in {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileRefused(f"{path} holds no Ed25519 public key in PEM; whence keys signing wrote one as FILE.pub")
    return key


def key_name(key: Ed25519PublicKey) -> str:
    """What a key goes by in receipts: the SHA-256 of its 32 bytes."""
    return "sha256:" + hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def is_signed_by(receipt: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    """Whether the receipt's signature is this key's, of this seal."""
    try:
        key.verify(base64.b64decode(receipt["signature"]["value"], validate=True), _message(receipt))
    except (InvalidSignature, KeyError, TypeError, binascii.Error, ValueError):
        return False
    return True


def _message(receipt: Mapping[str, Any]) -> bytes:
    return _DOMAIN + str(receipt["seal"]).encode()
