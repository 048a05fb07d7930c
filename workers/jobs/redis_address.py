"""Where Redis is, and how to get there: one server, with TLS or behind a socket, or the master that Sentinels name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis import ConnectionPool, Redis
from redis import asyncio as aioredis
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from workers.jobs.health_check import bear_refusals

SENTINEL = "redis+sentinel"
SCHEMES = ("redis", "rediss", "unix", SENTINEL, "rediss+sentinel")
FORM = f"{SENTINEL}://[user:password@]host:26379,other:26379/name-of-the-master[/database]"
SENTINEL_PORT = 26379
CLUSTER = (
    "this is a Redis Cluster, and Whence needs its keys on one server: name a single Redis (redis://, rediss://), or "
    f"the Sentinels of one ({SENTINEL}://host,host/master); to spread load, give each set of models a Redis of its own"
)


class WrongAddress(ValueError):
    """The URL names no Redis that can be used; the message says what would be right, and holds no password."""


class _WatchedPool(AsyncSentinelPool):
    """Closes its connections to the Sentinels with its own."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


@dataclass(frozen=True)
class _Watched:
    """A master that Sentinels name: their addresses, its name, and how to speak to it and to them."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    own: Mapping[str, Any]
    theirs: Mapping[str, Any]


def checked_redis_url(url: str) -> str:
    """The URL itself; raises WrongAddress where it is none of those that can be used."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise WrongAddress(f"a Redis URL begins with {', '.join(f'{one}://' for one in SCHEMES)}")
    if parts.scheme.endswith("+sentinel"):
        _watched(url)
        return url
    try:
        ConnectionPool.from_url(url)
    except ValueError as error:
        raise WrongAddress(f"the Redis URL cannot be read: {error}") from None
    return url


def client(url: str, **options: Any) -> Redis:
    """A client that answers bytes, with redis-py's own options."""
    found = _watched_client(url, options) if _is_watched(url) else Redis.from_url(url, **options)
    bear_refusals(found.connection_pool)
    return found


def _watched_client(url: str, options: Mapping[str, Any]) -> Redis:
    there = _watched(url)
    times = {name: value for name, value in options.items() if "timeout" in name}
    hosts = list(there.sentinels)
    watching = Sentinel(hosts, sentinel_kwargs={**there.theirs, **times})  # type: ignore[no-untyped-call]
    found: Redis = watching.master_for(there.master, **there.own, **options)  # type: ignore[no-untyped-call]
    return found


def async_client(url: str, most: int, timeout: float, **options: Any) -> aioredis.Redis:
    """A client of at most `most` connections; who finds none free waits for `timeout` seconds.

    Behind Sentinels nobody waits: there are as many connections as are asked for.
    """
    pool = (
        _watched_pool(url, options)
        if _is_watched(url)
        else aioredis.BlockingConnectionPool.from_url(url, max_connections=most, timeout=timeout, **options)
    )
    bear_refusals(pool)
    return aioredis.Redis.from_pool(pool)


def _watched_pool(url: str, options: Mapping[str, Any]) -> AsyncSentinelPool:
    there = _watched(url)
    times = {name: value for name, value in options.items() if "timeout" in name}
    hosts = list(there.sentinels)
    watching = AsyncSentinel(hosts, sentinel_kwargs={**there.theirs, **times})  # type: ignore[no-untyped-call]
    return _WatchedPool(there.master, watching, **there.own, **options)  # type: ignore[no-untyped-call]


def broker(url: str) -> tuple[str, dict[str, Any]]:
    """The URL by which kombu finds the same Redis, and its transport options."""
    if url.startswith("unix://"):
        return url.replace("unix://", "redis+socket://", 1), {}
    if not _is_watched(url):
        return url, {}
    there = _watched(url)
    user, password = (quote(str(there.own.get(name, "")), safe="") for name in ("username", "password"))
    login = f"{user}:{password}@" if password else ""
    urls = [f"sentinel://{login}{host}:{port}/{there.own['db']}" for host, port in there.sentinels]
    return ";".join(urls), {"master_name": there.master, "sentinel_kwargs": dict(there.theirs)}


def broker_tls(url: str) -> dict[str, Any] | None:
    """What kombu is to be told of TLS beside the URL; None where it is not used, or all is in the URL."""
    if not url.startswith("rediss+sentinel:"):
        return None
    return {name: value for name, value in _watched(url).own.items() if name.startswith("ssl_")}


def check_start(redis_url: str, cache_url: str | None) -> None:
    """Raises WrongAddress, naming the setting, where either address cannot be used or is a Redis Cluster's."""
    for setting, url in (("WHENCE_REDIS_URL", redis_url), ("WHENCE_CACHE_URL", cache_url)):
        try:
            if url is not None:
                refuse_cluster(checked_redis_url(url))
        except WrongAddress as error:
            raise WrongAddress(f"{setting}: {error}") from None


def refuse_cluster(url: str) -> None:
    """Raises WrongAddress where a Redis answers there that is a Cluster; says nothing where none answers yet."""
    there = client(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        found = there.info("cluster")
    except (RedisError, OSError):
        return
    finally:
        there.close()
    if found.get("cluster_enabled"):
        raise WrongAddress(CLUSTER)


def _is_watched(url: str) -> bool:
    return url.partition(":")[0].endswith("+sentinel")


def _watched(url: str) -> _Watched:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    try:
        sentinels = tuple(map(_address, hosts.split(",")))
        number = int(database or 0)
    except ValueError:
        raise WrongAddress(f"the address of Sentinels is of the form {FORM}") from None
    if not master:
        raise WrongAddress(f"the address of Sentinels lacks the name of the master; its form is {FORM}")
    asked = dict(parse_qsl(parts.query))
    tls = {name: value for name, value in asked.items() if name.startswith("ssl_")}
    secure: dict[str, Any] = {"ssl": True, **tls} if parts.scheme.startswith("rediss") else {}
    given = {"username": unquote(user), "password": unquote(password)}
    own = {"db": number, **{name: value for name, value in given.items() if value}, **secure}
    theirs = {name: asked[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in asked}
    return _Watched(sentinels, unquote(master), own, {**theirs, **secure})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(SENTINEL_PORT))
    if not host:
        raise ValueError(text)
    return host.strip("[]"), int(port)
