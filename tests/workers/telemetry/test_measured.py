"""The dashboard and the alerts ask for metrics that exist, by labels that they have, in PromQL that parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from service.http.metrics import Metrics
from service.http.problems import KINDS
from service.queue import gauges
from service.queue.cluster_state import Depth
from service.queue.gauges import Memory, Readings
from service.queue.served import summed
from tests.repositories import TOY, Fixed, whole
from tests.tree import ROOT
from workers.telemetry import metrics

DEPLOY = ROOT / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "whence.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
EVERYWHERE = {"instance", "job"}
SERVED = summed(
    [{"id": "w", "states": "s", "loaded": {TOY.digest: 1}}],
    {"s": Fixed(whole(TOY)).states()},
    {whole(TOY).kept: TOY},
)
MEASURED = Readings({"interactive": Depth(0, 0)}, {}, 0, {"jobs": Memory(0, 0, 0)})


def series() -> dict[str, set[str]]:
    """The names that Prometheus knows, of both sides, with the labels of each."""
    api = Metrics()
    found: dict[str, set[str]] = {}
    for one in (*vars(metrics).values(), *(getattr(api, field.name) for field in fields(api))):
        if isinstance(one, Counter | Gauge | Histogram):
            (family,) = one.describe()
            labels = {*one._labelnames, *EVERYWHERE, *({"le"} if isinstance(one, Histogram) else ())}
            found |= {f"{family.name}{end}": labels for end in ENDS[family.type]}
    text = gauges.text(MEASURED, [{"device": "cpu"}], SERVED).decode()
    for family in text_string_to_metric_families(text):
        found |= {sample.name: {*sample.labels, *EVERYWHERE} for sample in family.samples}
    return found


KNOWN = series()


def queries() -> Iterator[tuple[str, str]]:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$__range", "3h")
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_asks_for_what_there_is(where: str, query: str) -> None:
    promql_parser.parse(query)
    names = re.findall(r"\bwhence_\w+", query)
    assert names
    assert set(names) <= KNOWN.keys()
    for name, matchers in re.findall(r"\b(whence_\w+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)=", matchers)) <= KNOWN[name]
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}
    assert grouped <= set().union(*(KNOWN[name] for name in names))


def test_counters_are_asked_for_as_rates_and_gauges_as_they_are() -> None:
    for where, query in queries():
        for name in re.findall(r"(?:rate|increase)\((whence_\w+)", query):
            assert name.endswith(("_total", "_bucket", "_sum", "_count")), where


def test_every_metric_has_its_place_on_the_dashboard() -> None:
    text = " ".join(target["expr"] for panel in BOARD["panels"] for target in panel["targets"])
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in KNOWN}
    assert {name for name in families if name not in text} == set()


def test_the_errors_that_are_ours_are_those_of_the_table() -> None:
    """The alert on failing work names codes of the kinds that are answered with 500."""
    (expression,) = [query for where, query in queries() if where == "WhenceWorkFails"]
    (pattern,) = re.findall(r'outcome=~"([^"]*)"', expression)
    for alternative in pattern.split("|"):
        assert any(re.fullmatch(alternative, code) and kind.status == 500 for code, kind in KINDS.items()), alternative


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_the_page_on_operating_names_every_metric() -> None:
    page = (DEPLOY.parent / "docs" / "operating.md").read_text()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in KNOWN}
    assert {name for name in families if f"`{name}`" not in page} == set()
