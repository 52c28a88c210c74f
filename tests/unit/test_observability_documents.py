"""The dashboard and the alert rules speak of metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from ringback_notifier._metric_names import COUNTERS, GAUGES, TIMINGS
from ringback_receiver.prometheus import PrometheusMetrics

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "observability"
OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
TAGS = {"destination", "sender"}
EVERYWHERE = {"instance", "job", "le"}

Labels = dict[str, set[str]]
"""By a metric's name, the labels that it has."""


def mapped(name: str) -> tuple[dict[str, Any], list[str]]:
    """Return statsd_exporter's rule for one of Airflow's names, the first that matches, and what its stars are."""
    rules = yaml.safe_load((FOLDER / "statsd_mapping.yml").read_text(encoding="utf-8"))["mappings"]
    for rule in rules:
        pattern = re.escape(rule["match"]).replace(r"\*", "([^.]*)")
        if found := re.fullmatch(pattern, f"airflow.{name}"):
            return rule, list(found.groups())
    raise AssertionError(f"no rule is for {name}")


def of_the_notifier() -> Labels:
    """Return what Prometheus gets of Airflow's metrics by way of the mapping."""
    labels: Labels = {}
    for name in (*COUNTERS, *GAUGES, *TIMINGS):
        rule, stars = mapped(name)
        made = rule["name"].replace("${1}", stars[0] if stars else "")
        assert rule.get("match_metric_type") in (None, "counter" if name in COUNTERS else "gauge"), name
        own = set(rule.get("labels", {})) or (set() if "relay" in name or name in GAUGES else TAGS)
        for ending in OF_A_HISTOGRAM if rule.get("observer_type") == "histogram" else ("",):
            labels[made + ending] = own
    return labels


def of_the_receiver() -> Labels:
    """Return what a receiver exports, by asking it."""
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    metrics.handled("report", "done")
    return {
        sample.name: set(sample.labels)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


EXPORTED = {**of_the_notifier(), **of_the_receiver()}


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Return what a PromQL expression selects; one that is malformed is an error."""
    found: list[promql_parser.VectorSelector] = []

    def note(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")), note)
    return found


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def panels() -> Iterator[dict[str, Any]]:
    document = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
    yield from (panel for panel in document["panels"] if panel["type"] != "row")


def expressions() -> dict[str, str]:
    return {
        **{rule["alert"]: rule["expr"] for rule in rules()},
        **{
            f"{panel['title']} {number}": target["expr"]
            for panel in panels()
            for number, target in enumerate(panel["targets"])
        },
    }


@pytest.mark.parametrize("of", list(expressions()))
def test_every_expression_selects_what_is_exported(of: str) -> None:
    """Names and labels are those of the code, and the syntax is PromQL's."""
    found = selectors(expressions()[of])
    assert found
    for selector in found:
        assert selector.name in EXPORTED, selector.name
        assert {matcher.name for matcher in selector.matchers.matchers} <= EXPORTED[selector.name] | EVERYWHERE


def test_every_metric_is_shown() -> None:
    """The dashboard leaves nothing out, whatever a histogram is shown by."""
    shown = {
        selector.name for panel in panels() for target in panel["targets"] for selector in selectors(target["expr"])
    }
    wanted = {re.sub("_(bucket|sum|count)$", "", name) for name in EXPORTED}
    assert wanted - {re.sub("_(bucket|sum|count)$", "", str(name)) for name in shown} == set()


def test_what_is_matched_by_value_is_a_value_that_there_is() -> None:
    """An alert on an outcome that is never counted would never fire."""
    known = {
        "outcome": {"busy", "store_unavailable", "failed", "given_up"},
        "reason": {"bad_signature", "wrong_audience", "timestamp_too_old", "timestamp_too_new"},
        "state": {"waiting", "overdue", "open", "failing"},
        "status": {name.rpartition(".")[2] for name in GAUGES},
    }
    for expression in expressions().values():
        for selector in selectors(expression):
            for matcher in selector.matchers.matchers:
                assert set(matcher.value.split("|")) <= known[matcher.name], expression


def test_a_first_value_fires_too() -> None:
    """A counter of statsd_exporter's is born with its first value, which ``increase`` takes for none."""
    born = {"ringback_dead_total", "ringback_refused_total"}
    on_a_single_one = {
        rule["alert"]: promql_parser.parse(rule["expr"])
        for rule in rules()
        if "increase(" in rule["expr"] and born & {selector.name for selector in selectors(rule["expr"])}
    }
    assert len(on_a_single_one) == len(born)
    for name, expression in on_a_single_one.items():
        assert isinstance(expression, promql_parser.BinaryExpr), name
        assert str(expression.op) == "or", name
        assert "increase(" not in str(expression.rhs), name


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: str(rule["alert"]))
def test_a_rule_has_the_form_of_one(rule: dict[str, Any]) -> None:
    """What Prometheus would refuse is refused here."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Ringback[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]
    assert promql_parser.parse_duration(rule.get("for", "1m")).total_seconds() > 0


def test_the_page_lists_every_metric() -> None:
    """By the names that Airflow sends and by those that Prometheus gets."""
    page = (DOCS / "observability.md").read_text(encoding="utf-8")
    for name in (*COUNTERS, *GAUGES, *TIMINGS):
        assert f"`{name}`" in page, name
    for name in EXPORTED:
        assert f"`{re.sub('_(bucket|sum|count)$', '', name)}`" in page, name


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard has one panel."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        squares = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not squares & taken
        assert place["x"] + place["w"] <= 24
        taken |= squares
