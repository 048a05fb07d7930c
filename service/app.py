"""The app as a value: routes, error answers, one middleware; the queue opens and closes with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service import log
from service.deps import Parts
from service.docs import router as docs
from service.edge import Edge
from service.errors import ANSWERS
from service.metrics import Metrics
from service.openapi import schema_of
from service.queue import Queue
from service.routes import datasets, explanations, health, methods, models, results
from service.settings import Settings
from workers.contract import Datasets

ROUTERS = (explanations.router, results.router, methods.router, models.router, datasets.router, health.router, docs)
DESCRIPTION = "Whence this prediction? An image or a tensor, a model and a method in; the explanation out."


def create_app(settings: Settings | None = None, queue: Queue | None = None) -> FastAPI:
    """The service; without `queue`, one on the Redis of the settings."""
    settings = settings or Settings()
    log.configure(settings.log_level, as_json=settings.log_json)
    stored = Datasets(settings.datasets.absolute())
    parts = Parts(queue or Queue(settings.redis_url, settings.cache_url), settings, Metrics(), stored)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.queue:
            yield

    app = FastAPI(
        title="Whence",
        version=version("whence"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=ANSWERS,
    )
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Edge, settings=settings, metrics=parts.metrics)
    app.openapi = lambda: schema_of(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app
