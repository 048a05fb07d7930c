"""The doorbell: the Celery app that answers it, and the message that rings it. Torch is not in sight here."""

from __future__ import annotations

import functools
import uuid
from typing import Any

import orjson
from celery import Celery
from redis import Redis

from workers.jobs import keys, redis_address

RING = "workers.ring"  # the one task: ring(priority)
# A ring that was lost with its worker, or whose acknowledgement was, comes again after this: it does no harm, for then
# there is nothing to claim. The reconciler is much quicker.
VISIBILITY_S = 60
_PLACE = "00000000-0000-4000-8000-000000000000"

_COMMON: dict[str, Any] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "result_backend": None,
    "task_create_missing_queues": False,
    "task_default_queue": keys.INTERACTIVE,
    "task_queues": {priority: {} for priority in keys.PRIORITIES},
    "worker_send_task_events": False,
    "task_send_sent_event": False,
    "enable_utc": True,
}
_TRANSPORT: dict[str, Any] = {
    "global_keyprefix": keys.PREFIX,
    "visibility_timeout": VISIBILITY_S,
    "socket_keepalive": True,
}


def bell_message(priority: str) -> str:
    """A message that rings for a priority, as Celery and kombu write it, with an id of its own; for its list."""
    return _message(priority).replace(_PLACE, str(uuid.uuid4()))


def consumer(url: str) -> Celery:
    """The app of a worker: takes one ring at a time, acknowledged when answered, and outlives restarts of Redis."""
    return _app(
        url,
        {
            "socket_timeout": 5,
            "socket_connect_timeout": 4,
            "health_check_interval": 5,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
        task_publish_retry=False,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_proc_alive_timeout=180,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=4,
        worker_consumer="workers.runtime.supervise.consumer:Patient",
        broker_channel_error_retry=True,  # a replica that takes no writes answers with an error of the channel
    )


def ring(jobs: Redis, priority: str) -> None:
    """Tell some worker that work of this priority waits; raises RedisError."""
    jobs.lpush(keys.PREFIX + priority, bell_message(priority))


@functools.cache
def _message(priority: str) -> str:
    """With `_PLACE` for its id. Celery sends it to a list in this process: building one anew takes a millisecond."""
    app = Celery("whence", broker="memory://", set_as_current=False)
    app.conf.update(_COMMON)
    with app.connection_for_write() as connection:
        app.send_task(RING, args=[priority], queue=priority, task_id=_PLACE, connection=connection)
        message = connection.default_channel._get(priority)
    message["properties"]["delivery_tag"] = _PLACE
    return orjson.dumps(message).decode()


def _app(url: str, transport: dict[str, Any], **settings: Any) -> Celery:
    broker, options = redis_address.broker(url)
    app = Celery("whence", broker=broker, set_as_current=False)
    app.conf.update(_COMMON | settings, broker_transport_options=_TRANSPORT | transport | options)
    if (tls := redis_address.broker_tls(url)) is not None:
        app.conf.broker_use_ssl = tls
    return app
