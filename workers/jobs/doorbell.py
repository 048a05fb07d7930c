"""The Celery apps: one that rings, one that answers. A task is only a doorbell; torch is not in sight here."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ReadOnlyError

from workers.jobs import keys, redis_address

RING = "workers.ring"  # the one task: ring(priority)
# A ring that was lost with its worker, or whose acknowledgement was, comes again after this: it does no harm, for then
# there is nothing to claim. The reconciler is much quicker.
VISIBILITY_S = 60

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


def publisher(url: str) -> Celery:
    """The app that rings, for the API: without Redis it fails within about half a second."""
    return _app(
        url,
        {
            "socket_timeout": 0.5,
            "socket_connect_timeout": 0.3,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.05,
            "interval_max": 0.05,
        },
        task_publish_retry=False,
        broker_pool_limit=16,
    )


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


def ring(app: Celery, priority: str) -> None:
    """Tell some worker that work of this priority waits; raises kombu's OperationalError without Redis.

    After a failover a kept connection leads to what is a replica now; kombu drops it, and the next is to the master.
    """
    for last in (False, True):
        try:
            app.send_task(RING, args=[priority], queue=priority, ignore_result=True, retry=False)
        except OperationalError as error:
            if last or not isinstance(error.__cause__, ReadOnlyError):
                raise
        else:
            return


def _app(url: str, transport: dict[str, Any], **settings: Any) -> Celery:
    broker, options = redis_address.broker(url)
    app = Celery("whence", broker=broker, set_as_current=False)
    app.conf.update(_COMMON | settings, broker_transport_options=_TRANSPORT | transport | options)
    if (tls := redis_address.broker_tls(url)) is not None:
        app.conf.broker_use_ssl = tls
    return app
