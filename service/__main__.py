"""`python -m service`: the API alone, in this process; what `whence up` and the container run."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from service.settings import Settings

SHUTDOWN_S = 10
LONGEST_HEADERS = 16384

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the API until SIGTERM."""
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=host,
        port=port,
        log_level=Settings().log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=SHUTDOWN_S,
        h11_max_incomplete_event_size=LONGEST_HEADERS,
    )


if __name__ == "__main__":
    app()
