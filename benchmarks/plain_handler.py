"""The peer that everybody can write: FastAPI, a thread of its pool for each request, Captum."""

from __future__ import annotations

from anyio import to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.captum_side import NPY, Explain, explainers


def create_app() -> FastAPI:
    """POST /METHOD with the bytes of a picture answers with .npy."""
    app = FastAPI()

    def serve(name: str, explain: Explain) -> None:
        async def handle(request: Request) -> Response:
            (array,) = await to_thread.run_sync(explain, [await request.body()])
            return Response(array, media_type=NPY)

        app.post(f"/{name}")(handle)

    for name, explain in explainers().items():
        serve(name, explain)
    return app
