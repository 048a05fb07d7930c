"""`python -m service.cli.openapi`: the OpenAPI document, as it is kept in the tree."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import orjson

from service.app import create_app
from service.openapi import schema_of


def text(document: Mapping[str, Any]) -> bytes:
    """The document as it is kept in the tree."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.stdout.buffer.write(text(schema_of(create_app())))
