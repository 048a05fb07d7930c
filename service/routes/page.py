"""The page for people at /, and the files that it is made of: all of them lie here, none is built."""

from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from service.http.negotiation import HTML, JSON
from service.render.colormaps import STEPS, Colormap, colours

FOLDER = Path(__file__).parents[1] / "page"
CONTENT = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": CONTENT,
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
MAPS: tuple[Colormap, ...] = get_args(Colormap)

router = APIRouter(include_in_schema=False)
_files = StaticFiles(directory=FOLDER)


@router.get("/")
async def first_page(request: Request) -> Response:
    """A page for people; KServe's clients ask here whether the server lives, and take JSON."""
    if HTML in request.headers.get("accept", ""):
        return await _file("index.html", request)
    return Response(b'{"status":"alive"}', media_type=JSON, headers={"vary": "Accept"})


@router.get("/page/colours.json")
async def tables() -> Response:
    """The colours of the pictures, so that the page draws with the same: for each map, of the values from -1 to 1."""
    return Response(_tables(), media_type=JSON, headers=HEADERS)


@router.get("/page/{name:path}")
async def file(request: Request, name: str) -> Response:
    return await _file(name, request)


async def _file(name: str, request: Request) -> Response:
    response = await _files.get_response(name, request.scope)
    response.headers.update({**HEADERS, "vary": "Accept"})
    return response


@cache
def _tables() -> bytes:
    values = np.linspace(-1, 1, 2 * STEPS - 1, dtype=np.float32)
    return orjson.dumps({name: colours(values, name).tobytes().hex() for name in MAPS})
