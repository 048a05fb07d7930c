"""Logs by structlog, for either side: one line an event, with the request's and the job's id where there is one."""

import logging
import sys

import structlog
from structlog.typing import Processor

CHATTY = ("celery.app.trace", "celery.worker.strategy")  # two lines a ring; ours name the job


def configure(level: str, *, as_json: bool) -> None:
    """Set up our own lines in this process; `level` is a name such as INFO."""
    structlog.configure(
        processors=[*_shared(), *_last(as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def adopt(level: str, *, as_json: bool) -> None:
    """Bring what libraries say by `logging` (uvicorn, Celery) into the same form; for processes that are ours alone."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(as_json)],
        )
    )
    logging.basicConfig(handlers=[lines], level=level.upper(), force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]


def _last(as_json: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Plain tracebacks: the rich ones print local variables, which hold what clients sent.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
