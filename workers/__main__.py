"""`python -m workers`: a Celery worker of one child process, which explains."""

from workers.tasks import app, settings


def main() -> None:
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
