"""`python -m workers.alive`: exit code 0 where a worker of this host has sent a heartbeat lately; for health checks."""

import socket
import sys

from redis.exceptions import RedisError

from workers.jobs import keys
from workers.jobs.connection import connect
from workers.runtime.settings import Settings


def alive(redis_url: str, host: str) -> bool:
    """Whether a worker of that host lives; False also where Redis does not answer."""
    jobs = connect(redis_url)
    try:
        names = (str(name, "utf-8") for name in jobs.smembers(keys.WORKERS) if isinstance(name, bytes))
        return any(jobs.exists(keys.worker(name)) for name in names if name.startswith(f"{host}-"))
    except RedisError:
        return False


if __name__ == "__main__":
    sys.exit(not alive(Settings().redis_url, socket.gethostname()))
