"""`python -m workers.alive`: has a worker of this host sent a heartbeat lately? For health checks.

Exit code 0: it has, 1: none has, 2: Redis is why none could be heard, which says nothing of the worker. With
`--or-unheard` 0 then too: for those who start a worker again, which cures no Redis.
"""

import argparse
import socket
import sys

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from workers.jobs import keys, redis_address
from workers.jobs.records import PROBE_S
from workers.jobs.refusals import refuses_writes
from workers.runtime.settings import Settings

LIVES, DEAD, UNHEARD = range(3)
PATIENCE_S = 2  # of a connection and of an answer: those who ask wait ten seconds


def heard(redis_url: str, host: str) -> tuple[int, str]:
    """LIVES, DEAD or UNHEARD of the workers of that host, and a sentence that says so."""
    jobs = redis_address.client(
        redis_url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0)
    )
    try:
        names = (str(name, "utf-8") for name in jobs.smembers(keys.WORKERS) if isinstance(name, bytes))
        if any(jobs.exists(keys.worker(name)) for name in names if name.startswith(f"{host}-")):
            return LIVES, "a worker of this host has sent a heartbeat lately"
        jobs.set(keys.PROBE, 1, ex=PROBE_S)
    except (RedisError, OSError) as error:
        why = "takes no writes" if refuses_writes(error) else "does not answer"
        return UNHEARD, f"Redis {why} ({type(error).__name__}): whether a worker of this host lives is not known"
    finally:
        jobs.close()
    return DEAD, "no worker of this host has sent a heartbeat lately, and Redis takes writes"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m workers.alive", description=__doc__)
    parser.add_argument("--or-unheard", action="store_true", help="0 too where Redis is why none could be heard")
    arguments = parser.parse_args()
    code, said = heard(Settings().redis_url, socket.gethostname())
    print(said)
    sys.exit(LIVES if code == UNHEARD and arguments.or_unheard else code)
