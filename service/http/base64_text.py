"""Files as base64 in a text, as people and libraries write it (RFC 4648, RFC 2397)."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error

from workers.contract import InvalidImage

ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
DATA_URL = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
LONGEST_HEAD = 1000  # of a data: URL
OTHER_ALPHABET = bytes.maketrans(b"-_", b"+/")
STRANGER = re.compile(r"[^A-Za-z0-9+/=_\-\s]")
_STRANGE = "the image is no base64: a character is none of its alphabet; what is sent is a file's bytes, not its name"
LINE_ENDS = b"\r\n\t"
PIECE = 2**20  # decoded at once, for other threads stand still meanwhile; a multiple of 4


def from_base64(text: str, pointer: str) -> bytes:
    """The bytes; line ends, a data: URL, the URL-safe alphabet and missing padding are understood.

    Raises InvalidImage for what is no base64.
    """
    head = DATA_URL.match(text[:LONGEST_HEAD])
    if head is not None:
        if not head[1].rstrip().lower().endswith("base64"):
            raise InvalidImage("the data: URL is not base64; it should begin data:image/png;base64,", pointer=pointer)
        text = text[head.end() :]
    elif ADDRESS.match(text[:LONGEST_HEAD]):
        raise InvalidImage(
            "this is an address, and nothing is fetched from one: send the bytes of the file, in base64",
            pointer=pointer,
        )
    elif not text.isascii():
        raise InvalidImage(_STRANGE, pointer=pointer)
    given = text.encode("ascii", "replace").translate(OTHER_ALPHABET, LINE_ENDS).strip(b" ").rstrip(b"=")
    if b" " in given:
        raise InvalidImage(
            "the image is no base64: there are spaces in it; were they + before a form was decoded?", pointer=pointer
        )
    if not given:
        raise InvalidImage("the image is empty: its base64 has no characters", pointer=pointer)
    try:
        if b"=" in given:
            raise Error
        whole = given + b"=" * (-len(given) % 4)
        pieces = (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))
        return b"".join(b64decode(piece, validate=True) for piece in pieces)
    except Error:
        strange = STRANGER.search(text) or len(given) % 4 != 1
        why = _STRANGE if strange else "the image is no base64: its length says that it was cut off"
        raise InvalidImage(why, pointer=pointer) from None
