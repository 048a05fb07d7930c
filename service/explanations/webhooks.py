"""Webhooks: who asked to be told is told once an explanation is final. They wait in Redis; any API process sends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from uuid import uuid4

import httpx
import orjson
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import RedisError

from service.explanations.documents import status_document, timestamp
from service.explanations.webhook_addresses import PlaceRefused, Rules, check
from service.explanations.webhook_delivery import LONGEST_S, secret_of, send, sender, signed
from service.http.browser_guard import names
from service.http.errors import Invalid, QueueFull
from service.queue.connection import QueueUnavailable, answering, client, ended
from service.queue.queue import Queue
from service.queue.status import Status
from service.settings import Settings
from workers.contract import WEBHOOKS_KEY, async_script, webhook_key

POLL_S = 1.0
HELD_S = 2 * LONGEST_S
AT_ONCE = 32
MOST = 10_000
KEPT_S = 3 * 86400
RETRIES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0)
JITTER = 0.2
GONE = 410

log = structlog.get_logger()


class Delivery(BaseModel):
    """One webhook: `attempts` counts how often it was sent in vain."""

    model_config = ConfigDict(frozen=True)

    id: str
    job: str
    url: str
    caller: str
    created_at: float
    attempts: int = 0


class Webhooks:
    """Use as `async with`: while it is open, what is due is sent. Without a secret there are no webhooks."""

    def __init__(self, queue: Queue, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._queue = queue
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
        self._rules = Rules(settings.webhook_inside, names(settings.webhook_hosts))
        self._jobs = client(settings.redis_url)
        self._due = async_script(self._jobs, "due")
        self._transport = transport
        self._sending: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Webhooks:
        if self._secret is not None:
            self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        await ended([self._loop] if self._loop else [])  # it starts no more of the others
        await ended(self._sending)
        await self._jobs.aclose()

    def check(self, url: str) -> None:
        """Raises Invalid where nothing would be sent there."""
        if self._secret is None:
            raise Invalid(
                [{"pointer": "/webhook", "detail": "webhooks are not switched on here; poll, or follow events"}]
            )
        check(url, self._rules)

    async def register(self, url: str, ids: Sequence[str], caller: str) -> None:
        """Tell this URL once each of the explanations is final; raises QueueFull, QueueUnavailable."""
        async with answering(), self._jobs.pipeline() as pipe:
            if await self._jobs.zcard(WEBHOOKS_KEY) + len(ids) > MOST:
                raise QueueFull("too many webhooks wait to be delivered; try again in 60 s, or without one", 60)
            now = await self._now()
            for job in dict.fromkeys(ids):
                made = Delivery(id=f"msg_{uuid4().hex}", job=job, url=url, caller=caller, created_at=now)
                pipe.set(webhook_key(made.id), made.model_dump_json(), ex=KEPT_S)
                pipe.zadd(WEBHOOKS_KEY, {made.id: now})
            await pipe.execute()

    async def _run(self) -> None:
        async with sender(self._transport) as http:
            while True:
                taken: list[Delivery] = []
                try:
                    with contextlib.suppress(RedisError, OSError, QueueUnavailable):
                        taken = await self._take(http)
                except Exception:
                    log.exception("webhooks could not be taken")  # and try again: nobody else would send them
                if not taken:
                    await asyncio.sleep(POLL_S)

    async def _take(self, http: httpx.AsyncClient) -> list[Delivery]:
        free = AT_ONCE - len(self._sending)
        found = orjson.loads(await self._due(args=[free, HELD_S])) if free else []
        taken = [delivery for one in found if (delivery := await self._read(one["id"], one["body"])) is not None]
        statuses = await self._queue.statuses([one.job for one in taken])
        for delivery, status in zip(taken, statuses, strict=True):
            task = asyncio.create_task(
                self._settle(http, delivery, status or Status(id=delivery.job, status="expired"))
            )
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return taken

    async def _read(self, identity: str, body: str) -> Delivery | None:
        """One that a process of another version wrote keeps no other waiting."""
        try:
            return Delivery.model_validate_json(body)
        except ValidationError as error:
            log.error("a webhook cannot be read, and is dropped", webhook=identity, exc_info=error)
            await self._drop(identity)
            return None

    async def _settle(self, http: httpx.AsyncClient, delivery: Delivery, status: Status) -> None:
        """Send it where its explanation is final; put it off otherwise, and where it did not arrive."""
        with contextlib.suppress(RedisError, OSError):  # it comes again when it is no longer held
            if not status.final:
                age = await self._now() - delivery.created_at
                await self._put_off(delivery, min(max(age / 10, POLL_S), 30.0))
                return
            answer = await self._sent(http, delivery, status)
            if answer == GONE or 200 <= answer < 300:
                await self._drop(delivery.id)
            elif delivery.attempts >= len(RETRIES_S):
                log.warning("a webhook is given up", webhook=delivery.id, job=delivery.job, answer=answer)
                await self._drop(delivery.id)
            else:
                wait = RETRIES_S[delivery.attempts] * random.uniform(1, 1 + JITTER)
                await self._put_off(delivery.model_copy(update={"attempts": delivery.attempts + 1}), wait)

    async def _sent(self, http: httpx.AsyncClient, delivery: Delivery, status: Status) -> int:
        """The status of the answer; 0 where there was none."""
        assert self._secret is not None
        body = orjson.dumps(
            {
                "type": f"explanation.{status.status}",
                "timestamp": timestamp(status.finished_at or time.time()),
                "data": status_document(status),
            }
        )
        headers = signed(secret_of(self._secret, delivery.caller), delivery.id, int(time.time()), body)
        try:
            answer = await send(http, delivery.url, headers, body, self._rules)
        except (PlaceRefused, Invalid, httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError) as error:
            reason = str(error) if isinstance(error, PlaceRefused) else type(error).__name__
            log.warning("a webhook did not arrive", webhook=delivery.id, job=delivery.job, reason=reason)
            return 0
        log.info("webhook", webhook=delivery.id, job=delivery.job, answer=answer)
        return answer

    async def _now(self) -> float:
        """By the clock of Redis, which says when one is due: those of the APIs differ."""
        seconds, micro = await self._jobs.time()
        return float(seconds + micro / 1e6)

    async def _put_off(self, delivery: Delivery, seconds: float) -> None:
        due = await self._now() + seconds
        async with self._jobs.pipeline() as pipe:
            pipe.set(webhook_key(delivery.id), delivery.model_dump_json(), ex=KEPT_S)
            pipe.zadd(WEBHOOKS_KEY, {delivery.id: due}, xx=True)
            await pipe.execute()

    async def _drop(self, identity: str) -> None:
        async with self._jobs.pipeline() as pipe:
            pipe.zrem(WEBHOOKS_KEY, identity)
            pipe.delete(webhook_key(identity))
            await pipe.execute()
