"""`python -m workers`: a Celery worker of one child process, which explains."""

import os
import sys
import tempfile

from workers.jobs.redis_address import WrongAddress, check_start
from workers.jobs.signatures import KeyFileRefused, Signer
from workers.runtime.settings import Settings

COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client looks for it when it is first imported


def main() -> None:
    settings = Settings()
    try:
        check_start(settings.redis_url, settings.cache_url)
        if settings.receipt_key:
            Signer.from_file(settings.receipt_key)
    except WrongAddress as error:
        sys.exit(str(error))
    except KeyFileRefused as error:
        sys.exit(f"WHENCE_RECEIPT_KEY: {error}")
    if settings.metrics_port is None:
        serve(settings)
        return
    with tempfile.TemporaryDirectory(prefix="whence-metrics-") as folder:
        os.environ[COUNTS] = folder
        serve(settings)


def serve(settings: Settings) -> None:
    from workers.runtime.tasks import app

    app.worker_main(
        [
            "--quiet",
            "worker",
            *("--pool", "prefork"),
            *("--concurrency", "1"),
            *("--queues", settings.queues),
            *("--loglevel", settings.log_level),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
    )


if __name__ == "__main__":
    main()
