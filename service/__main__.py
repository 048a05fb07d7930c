"""`python -m service`: the API alone, in this process; what `whence up` and the container run."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Annotated

import typer
import uvicorn

from service.app import create_app
from service.queue import Queue
from service.settings import Settings

SHUTDOWN_S = 10
LONGEST_HEADERS = 16384

app = typer.Typer(pretty_exceptions_enable=False)


class Server(uvicorn.Server):
    """Lets go of whoever waits when it ends: open streams would keep it until they are cut."""

    def __init__(self, config: uvicorn.Config, queue: Queue) -> None:
        super().__init__(config)
        self.queue = queue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.queue.end()
        await super().shutdown(sockets)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the API until SIGTERM."""
    settings = Settings()
    api = create_app(settings)
    config = uvicorn.Config(
        api,
        host=host,
        port=port,
        http="h11",  # the limit of headers is its own; httptools, where it is installed, has none
        log_level=settings.log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=SHUTDOWN_S,
        h11_max_incomplete_event_size=LONGEST_HEADERS,
    )
    server = Server(config, api.state.parts.queue)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    sys.exit(0 if server.started else 3)


if __name__ == "__main__":
    app()
