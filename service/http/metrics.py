"""What the service counts, for Prometheus."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OUTCOMES = "Explanations asked for: hit (in the cache), created, joined (collapsed with an equal one), refused."


@dataclass(frozen=True)
class Metrics:
    """The counters of one app, in a registry of their own, so that two apps in one process do not meet."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    explanations: Counter = field(init=False)
    problems: Counter = field(init=False)
    _counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of = self.registry
        counted = Counter("whence_requests", "HTTP requests answered.", ["method", "route", "status"], registry=of)
        timed = Histogram("whence_request_seconds", "Time to answer.", ["route"], buckets=BUCKETS, registry=of)
        refused = Counter("whence_problems", "Requests answered with a problem, by its code.", ["code"], registry=of)
        by_outcome = Counter("whence_explanations", OUTCOMES, ["outcome"], registry=of)
        object.__setattr__(self, "requests", counted)
        object.__setattr__(self, "seconds", timed)
        object.__setattr__(self, "problems", refused)
        object.__setattr__(self, "explanations", by_outcome)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer, and the time that it took."""
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self.requests.labels(method, route, status), self.seconds.labels(route)
            self._counters[method, route, status] = counter
        counted, timed = counter
        counted.inc()
        timed.observe(seconds)

    def count_explanations(self, outcomes: Iterable[str]) -> None:
        """What became of each explanation that was asked for."""
        for outcome in outcomes:
            self.explanations.labels(outcome).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
