"""What the tests beside share."""

from __future__ import annotations

import base64
from typing import Any

URL = "/api/v1/explanations"


def body(png: bytes, **more: Any) -> dict[str, Any]:
    return {"model": "digits", "method": "gradient", "input": {"image": base64.b64encode(png).decode()}, **more}
