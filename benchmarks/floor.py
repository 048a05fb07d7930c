"""What a cache hit is held against: FastAPI and redis.asyncio, and nothing of ours."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.responses import Response

REDIS = "FLOOR_REDIS_URL"


def create_app() -> FastAPI:
    """GET /KEY answers with the bytes under that key."""
    redis = Redis.from_url(os.environ[REDIS])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/{key}")
    async def read(key: str) -> Response:
        return Response(await redis.get(key), media_type="application/x-npy")

    return app
