"""The app as a value: routes, error answers, one middleware; the queue opens and closes with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service.deps import Dependencies
from service.explanations.webhooks import Webhooks
from service.http import browser_guard
from service.http.access import Access
from service.http.api_keys import Keys
from service.http.content_encoding import Encodings
from service.http.docs_page import router as docs
from service.http.edge import Edge
from service.http.head import Heads
from service.http.metrics import Metrics
from service.http.problems import ANSWERS
from service.http.tracing import Traced
from service.openapi import operation_id, schema_of
from service.protocols import kserve, open_inference, open_inference_repository, torchserve
from service.protocols.errors import Dialects
from service.queue.admission import Caps
from service.queue.queue import Queue
from service.queue.storage import StorageLimits
from service.routes import (
    collections,
    datasets,
    events,
    explanations,
    health,
    jobs,
    methods,
    model_changes,
    models,
    page,
    results,
)
from service.routes.hits import Hits
from service.settings import Settings
from workers.contract import Datasets, Objects, configure_log

EXPLANATIONS = (explanations.router, jobs.router, events.router, collections.router, results.router)
PROTOCOLS = (kserve.router, open_inference.router, open_inference_repository.router, torchserve.router)
MODELS = (models.router, model_changes.router)
ROUTERS = (*EXPLANATIONS, methods.router, *MODELS, datasets.router, health.router, *PROTOCOLS, page.router, docs)
DESCRIPTION = "Whence this prediction? An image or a tensor, a model and a method in; the explanation out."


def create_app(settings: Settings | None = None, queue: Queue | None = None) -> FastAPI:
    """The service; without `queue`, one on the Redis of the settings."""
    settings = settings or Settings()
    configure_log(settings.log_level, as_json=settings.log_json)
    stored = Datasets(settings.datasets.absolute())
    room = StorageLimits(Objects(settings.objects, settings.objects_from), settings.input_ttl, settings.input_space)
    caps = Caps(
        group=settings.queue_group,
        caller=settings.queue_caller,
        jobs=settings.queue_jobs,
        wait=settings.queue_wait,
        batch_wait=settings.batch_wait,
        bulk=settings.bulk_cost,
        rate=settings.quota_rate,
        burst=settings.quota_burst,
    )
    queue = queue or Queue(settings.redis_url, settings.cache_url, room, caps, settings.precision)
    deps = Dependencies(queue, settings, Metrics(), stored, Webhooks(queue, settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with deps.queue, deps.webhooks:
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
        generate_unique_id_function=operation_id,
    )
    app.state.dependencies = deps
    for router in ROUTERS:
        app.include_router(router)
    _wrap(app, deps)
    app.openapi = lambda: schema_of(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _wrap(app: FastAPI, deps: Dependencies) -> None:
    """What every request passes, the innermost first."""
    settings = deps.settings
    app.add_middleware(Hits, dependencies=deps)
    app.add_middleware(Heads)
    app.add_middleware(Encodings, limit=settings.body_limit)
    if settings.keys is not None:
        app.add_middleware(Access, keys=Keys(settings.keys))
    if settings.traces:
        app.add_middleware(Traced)
    app.add_middleware(Edge, settings=settings, metrics=deps.metrics, ending=lambda: deps.queue.ended)
    app.add_middleware(Dialects)
    if origins := browser_guard.names(settings.cors_origins):
        browser_guard.share(app, origins)
