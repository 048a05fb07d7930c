"""Where they run: beside each other, or on hosts made of network namespaces, so many milliseconds apart."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.cli.local.redis_binary import find_redis_server, free_port

_forked = multiprocessing.get_context("fork")


class NotHere(Exception):
    """This machine cannot make hosts: no right to, or a kernel without the means; says which."""


def spawned(target: Callable[..., None], *arguments: Any, host: str | None = None) -> Any:
    """A process; on a host made of a network namespace, a program of its own."""
    if host is None:
        process = _forked.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process
    code = f"from {target.__module__} import {target.__name__} as it; it(*{arguments!r})"
    return subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-W", "ignore", "-c", code])


def end(processes: Iterable[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join() if hasattr(process, "join") else process.wait()


@contextmanager
def hosts_apart(milliseconds: float) -> Iterator[tuple[list[str], str]]:
    """Three hosts on one bridge, so far from each other; their names, and the address of the first. Raises NotHere."""
    tag = f"w{os.getpid() % 10000}"
    names = [f"{tag}-{n}" for n in range(3)]

    def run(*words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHere(f"{' '.join(words)}: {done.stderr.strip()}")

    if shutil.which("ip") is None or shutil.which("tc") is None:
        raise NotHere("there is no ip or no tc (iproute2)")
    try:
        run("ip", "link", "add", tag, "type", "bridge")
        run("ip", "link", "set", tag, "up")
        for n, name in enumerate(names):
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"{tag}v{n}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"{tag}v{n}", "master", tag, "up")
            own = (["addr", "add", f"10.213.7.{n + 1}/24", "dev", "eth0"], ["link", "set", "eth0", "up"])
            for words in (*own, ["link", "set", "lo", "up"]):
                run("ip", "-n", name, *words)
            run("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "netem", "delay", f"{milliseconds / 2}ms")
        yield names, "10.213.7.1"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", tag], capture_output=True, check=False)


@contextmanager
def redis_at(folder: Path, host: str | None, address: str) -> Iterator[str]:
    port = free_port()
    where = ["ip", "netns", "exec", host] if host else []
    options = ["--port", str(port), "--bind", address, "--protected-mode", "no", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*where, str(find_redis_server()), *options], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield f"redis://{address}:{port}/0"
    finally:
        process.terminate()
        process.wait()
