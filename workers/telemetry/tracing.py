"""Traces by OpenTelemetry, from the HTTP request to the batch. Until `start` is called nothing here does anything.

A trace is carried from one process to another as the text of W3C's `traceparent`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SERVER: Final = "SERVER"
CONSUMER: Final = "CONSUMER"
MISSING = "WHENCE_TRACES needs OpenTelemetry, which is not installed; install it with: pip install 'whence[otel]'"

_provider: TracerProvider | None = None


class NoTracing(Exception):
    """OpenTelemetry is not installed."""


def start(service: str, exporter: SpanExporter | None = None) -> None:
    """Trace from now on; without `exporter`, to where OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_*) say.

    Raises NoTracing.
    """
    global _provider
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError:
        raise NoTracing(MISSING) from None
    _provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)}))
    given = SimpleSpanProcessor(exporter) if exporter else BatchSpanProcessor(OTLPSpanExporter())
    _provider.add_span_processor(given)


def stop() -> None:
    """Send what is left, and trace no more."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


@contextmanager
def span(
    name: str, kind: str, parents: Sequence[str | None] = (), facts: Mapping[str, Any] | None = None
) -> Iterator[Span | None]:
    """A span below the first of the parents, linked to the others; it says so where what it holds raises."""
    if _provider is None:
        yield None
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, get_current_span, set_span_in_context

    found = [get_current_span(_context(parent)) for parent in dict.fromkeys(parents) if parent is not None]
    known = [one for one in found if one.get_span_context().is_valid]
    above = set_span_in_context(known[0], Context()) if known else Context()
    links = [Link(other.get_span_context()) for other in known[1:]]
    tracer = _provider.get_tracer("whence")
    with tracer.start_as_current_span(name, above, SpanKind[kind], facts, links) as begun:
        yield begun


def carried() -> str | None:
    """The current span, as a `traceparent`; None where there is none."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context(parent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())
