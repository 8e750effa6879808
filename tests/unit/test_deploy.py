"""What deploy/ names is exported, what is exported is documented and drawn, and the rules do what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.metric_names import COUNTER, EXPORTED, HISTOGRAM, METRICS

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
NAMED = re.compile(r"\btidemark_[a-z0-9_]+")
SELECTED = re.compile(r"(tidemark_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\bby \(([a-z_, ]+)\)")
OF_PROMETHEUS = {"instance", "job", "le", "alertname", "alertstate"}
SUFFIXES = {HISTOGRAM: ("_bucket", "_count", "_sum")}
SEVERITIES = {"page", "ticket", "info"}


def rules() -> list[dict[str, Any]]:
    """Return all alert rules."""
    content = yaml.safe_load((DEPLOY / "rules.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
    return found


def drawn() -> list[str]:
    """Return the expressions of the dashboard."""
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def expressions() -> Iterator[str]:
    """Yield every expression that deploy/ holds."""
    yield from drawn()
    yield from (rule["expr"] for rule in rules())


def metric_of(name: str) -> str:
    """Return the metric of a sample's name: a distribution has three kinds of samples, and none of its plain name."""
    for metric in METRICS.values():
        if name in [metric.name + suffix for suffix in SUFFIXES.get(metric.kind, ("",))]:
            return metric.name
    raise AssertionError(f"{name} is exported by nobody")


def test_every_metric_named_is_exported() -> None:
    """Dashboard and rules name no sample that no process has, in each selection only labels that it has."""
    assert len(list(expressions())) > 80
    for expression in expressions():
        for name in NAMED.findall(expression):
            metric_of(name)
        for name, selection in SELECTED.findall(expression):
            labels = {re.split("[=!]", pair)[0].strip() for pair in selection.split(",") if pair}
            assert labels <= {*METRICS[metric_of(name)].labels, *OF_PROMETHEUS}, expression


def test_what_is_grouped_by_is_there() -> None:
    """An expression groups by labels that one of its metrics has: by another everything would fall into one."""
    for expression in expressions():
        metrics = {metric_of(name) for name in NAMED.findall(expression)}
        known = OF_PROMETHEUS.union(*(METRICS[name].labels for name in metrics))
        for labels in GROUPED.findall(expression):
            assert {label.strip() for label in labels.split(",")} <= known, expression


def test_counters_are_never_drawn_by_rate_of_a_sum() -> None:
    """A rate is taken before the sum, or a process that begins again looks like a fall of all."""
    for expression in expressions():
        assert not re.search(r"(rate|increase)\((sum|max|min)\b", expression), expression


def test_every_exported_metric_is_documented_and_drawn() -> None:
    """docs/operations.md has a row for each, with its labels and its words; the dashboard draws each somewhere."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    rows = {name: (labels, text) for name, labels, text in re.findall(r"\| `(\w+)` \| ([^|]*) \| ([^|]*) \|", page)}
    for name, metric in METRICS.items():
        assert rows[name] == (", ".join(metric.labels) or "–", metric.text), name
    assert {name for name in rows if name.startswith("tidemark_")} == set(METRICS)
    assert {metric_of(name) for expression in drawn() for name in NAMED.findall(expression)} == set(METRICS)


def test_every_alert_says_what_it_means_and_where_to_read_on() -> None:
    """Each has a name of its own, a severity, a sentence and a place; the pages and headings that it names exist."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 25
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in SEVERITIES, rule["alert"]
        summary, runbook = rule["annotations"]["summary"], rule["annotations"]["runbook"]
        assert summary.endswith((".", "?")) and len(summary) < 160, rule["alert"]
        place, _, rest = runbook.partition(".md")
        if rest or place.startswith("docs/"):
            page = (REPOSITORY / f"{place}.md").read_text()
            for heading in re.findall(r", ([A-Z][A-Za-z ]+)", rest)[:1]:
                assert re.search(rf"^#+ {heading}$|^\*\*{heading}", page, re.MULTILINE), runbook
        else:
            assert runbook.startswith("logs/"), runbook


def test_every_alert_is_proven_to_fire() -> None:
    """The rules' own tests name each alert as firing in some scene, and none that does not exist."""
    text = (DEPLOY / "rules_test.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', text)) == {rule["alert"] for rule in rules()}
    for name in NAMED.findall(text):
        metric_of(name)


def test_the_panels_lie_beside_one_another() -> None:
    """No panel covers another, each has a number of its own, and all ask the data source that the reader chose."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells and place["x"] + place["w"] <= 24, panel["title"]
        cells |= own
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", []))


def test_counters_and_roles_are_complete() -> None:
    """Every process exports what all of them do, and its own counters."""
    for role, names in EXPORTED.items():
        assert {"tidemark_build_info", "tidemark_process_up", "tidemark_process_lag_entries"} <= set(names), role
        assert any(METRICS[name].kind == COUNTER for name in names), role


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' own checker is not installed here")
def test_prometheus_agrees() -> None:
    """Prometheus reads the configuration and the rules, and each rule fires when its scene says so."""
    for words in (["check", "config", "--syntax-only", "prometheus.yml"], ["test", "rules", "rules_test.yml"]):
        result = subprocess.run(["promtool", *words], cwd=DEPLOY, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
