"""`python -m service`: the API alone, in this process; what `whence up` and the container run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import time
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.connection import Protocol
from service.http.api_keys import KeyFileError
from service.http.browser_guard import LONGEST_HEAD
from service.queue.queue import Queue
from service.settings import Settings
from workers.contract import NoTracing, WrongAddress, adopt_log, check_start, start_tracing, stop_tracing

SHUTDOWN_S = 10
FAREWELL_S = 2.0  # that kept connections have to be told: a request that meets a close gets no answer
# Longer than clients and proxies keep an idle connection (Go 90 s, nginx and load balancers 60 s, aiohttp 15 s, httpx
# 5 s): who closes first must be the one who sends next, or the request is met by a close without an answer.
KEEP_ALIVE_S = 120

app = typer.Typer(pretty_exceptions_enable=False)


class Server(uvicorn.Server):
    """Lets go of whoever waits when it ends: open streams would keep it until they are cut.

    New connections are refused; what comes on those that are kept is answered, and told to go elsewhere next.
    """

    def __init__(self, config: uvicorn.Config, queue: Queue) -> None:
        super().__init__(config)
        self.queue = queue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.queue.end()
        for server in self.servers:
            server.close()
        end = time.monotonic() + FAREWELL_S
        while self.server_state.connections and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    share_port: Annotated[bool, typer.Option(help="Other processes may listen on it as well.")] = False,
) -> None:
    """Serve the API until SIGTERM."""
    settings = Settings()
    try:
        check_start(settings.redis_url, settings.cache_url)
        api = create_app(settings)
    except (KeyFileError, WrongAddress) as error:
        sys.exit(f"error: {error}")
    adopt_log(settings.log_level, as_json=settings.log_json)
    if settings.traces:
        try:
            start_tracing("whence-api")
        except NoTracing as error:
            sys.exit(f"error: {error}")
    gc.freeze()  # what is here by now stays: no search for cycles stops for it again
    server = Server(configured(api, host, port), api.state.dependencies.queue)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([shared(host, port)] if share_port else None)
    stop_tracing()
    sys.exit(0 if server.started else 3)


def shared(host: str, port: int) -> socket.socket:
    """A socket on a port that others listen on too: the kernel deals connections out to all of them.

    Ends the process with a sentence where it cannot be had.
    """
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        one.bind((host, port))
    except OSError as error:
        sys.exit(f"error: cannot listen on {host} port {port}: {error.strerror}")
    return one


def configured(api: FastAPI, host: str, port: int) -> uvicorn.Config:
    """How the API is served."""
    return uvicorn.Config(
        api,
        host=host,
        port=port,
        http=Protocol,  # httptools, where it is installed, has no limit of headers
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )


if __name__ == "__main__":
    app()
