"""Dashboard, alert rules and runbooks speak of metrics, labels and alarms that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from image_service.api.error_table import CODES
from image_service.domain.errors import TooManyUnknownKeys
from image_service.telemetry.metrics import CachePart, CacheResult, CallOutcome, Metrics, Stage

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "docker/observability"
RUNBOOKS = {page.stem: page.read_text() for page in (ROOT / "docs/runbooks").glob("[!R]*.md")}
RULES = [
    rule
    for group in yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = json.loads((OBSERVABILITY / "grafana/dashboards/image-service.json").read_text())["panels"]
TARGETS = [target for panel in PANELS for target in panel.get("targets", [])]
BLOCK = re.compile(r"^ *```promql\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
QUESTIONS = [
    *[target["expr"] for target in TARGETS],
    *[rule["expr"] for rule in RULES],
    *[
        question
        for page in (ROOT / "docs").rglob("*.md")
        for block in BLOCK.findall(page.read_text())
        for question in re.split(r"\n *\n", block)
    ],
]

SCRAPED = {"job", "instance"}  # added by Prometheus
SELECTOR = re.compile(r"\b((?:image_service|process)_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(\d+)"')


class Metric(NamedTuple):
    """What a sample is labelled with; `le` of a histogram's buckets as Prometheus has it."""

    labels: set[str]
    buckets: set[str]


class Selector(NamedTuple):
    metric: str
    matchers: Mapping[str, str]


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    """What a service shows of which everything has happened once."""
    made = Metrics({"version": "1", "python": "3"})
    made.request_seconds("GET", "/images", 200)
    made.rejected("OVERLOADED")
    made.uploads("stored")
    made.connections_refused("OVERLOADED")
    made.call_seconds("s3", "PutObject", "ok")
    made.call_retries("s3", "PutObject")
    made.cache_requests("image", "hit")
    made.processing_seconds("header")
    found: dict[str, Metric] = {"up": Metric(set(), set())}
    for family in text_string_to_metric_families(made.render("")[0].decode()):
        for sample in family.samples:
            metric = found.setdefault(sample.name, Metric(set(), set()))
            metric.labels.update(sample.labels)
            metric.buckets.update({sample.labels["le"]} if "le" in sample.labels else ())
    return found


def selectors(question: str) -> list[Selector]:
    """The metrics that a query names. Strings are set aside first: a route has braces."""
    strings: list[str] = []

    def set_aside(string: re.Match[str]) -> str:
        strings.append(string[1])
        return f'"{len(strings) - 1}"'

    bare = re.sub(r'"([^"]*)"', set_aside, question)
    return [
        Selector(name, {label: strings[int(at)] for label, at in MATCHER.findall(matchers)})
        for name, matchers in SELECTOR.findall(bare)
    ]


def grouped_by(question: str) -> set[str]:
    return {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", question)
        for label in labels.split(",")
    }


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_names_metrics_and_labels_that_there_are(question: str, metrics: dict[str, Metric]):
    asked = selectors(question)
    assert asked
    for metric, matchers in asked:
        assert metric in metrics
        assert matchers.keys() | grouped_by(question) <= metrics[metric].labels | SCRAPED
        if "le" in matchers:
            assert matchers["le"] in metrics[metric].buckets


def allowed_values() -> dict[str, set[str]]:
    codes = set(CODES)
    paths = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    return {
        "reason": codes | {TooManyUnknownKeys.reason},
        "code": codes,
        "result": set(get_args(CacheResult)),
        "part": set(get_args(CachePart)),
        "stage": set(get_args(Stage)),
        "outcome": {*get_args(CallOutcome), "stored", "replayed", "client_gone", *codes},
        "route": {*paths, "/health.*"},
        "method": {method.upper() for path in paths.values() for method in path},
        "job": {"image-service"},
    }


def test_a_query_names_values_that_there_are():
    allowed = allowed_values()
    for question in QUESTIONS:
        for _, matchers in selectors(question):
            for label in matchers.keys() & allowed.keys():
                assert set(matchers[label].split("|")) <= allowed[label], question


def test_a_legend_shows_labels_that_its_query_has():
    for target in TARGETS:
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= (grouped_by(target["expr"]) or SCRAPED), target["expr"]


def test_every_metric_is_on_the_dashboard(metrics: dict[str, Metric]):
    def family(name: str) -> str:
        return re.sub("_(bucket|count|sum)$", "", name)

    shown = {family(s.metric) for target in TARGETS for s in selectors(target["expr"])}
    assert {family(name) for name in metrics if name.startswith("image_service_")} <= shown


# What a stage has of it as shipped, and with a collector ------------------------------------

ALSO_IN_CLOUDWATCH = "# also in CloudWatch\n"
PAGE_QUESTIONS = [
    (name, question)
    for name, page in RUNBOOKS.items()
    for block in BLOCK.findall(page)
    for question in re.split(r"\n *\n", block)
]


def sent() -> dict[str, set[str]]:
    """The metrics that the collector sends, with their dimensions."""
    text = (ROOT / "terraform/modules/service/telemetry.tf").read_text()
    declared = re.findall(r"^ +(image_service_\w+) += \[(.*)\]$", text, re.MULTILINE)
    return {name: set(re.findall(r'"(\w+)"', labels)) for name, labels in declared}


def is_sent(question: str) -> bool:
    dimensions = sent()
    for metric, matchers in selectors(question):
        name = metric.removesuffix("_count")
        labels = matchers.keys() | (grouped_by(question) - SCRAPED)
        known = dimensions.get(name, set())
        # Only calls that went wrong are sent with what they were.
        if name == "image_service_dependency_call_seconds" and "outcome" in matchers:
            known = known | {"operation", "outcome"}
        if name not in dimensions or not labels <= known:
            return False
    return True


def test_the_collector_sends_metrics_that_there_are(metrics: dict[str, Metric]):
    assert len(sent()) > 10
    for name, labels in sent().items():
        found = metrics.get(name) or metrics[f"{name}_count"]
        assert labels <= found.labels, name


@pytest.mark.parametrize(("name", "question"), PAGE_QUESTIONS)
def test_a_page_says_of_a_query_whether_cloudwatch_has_it(name: str, question: str):
    assert question.startswith(ALSO_IN_CLOUDWATCH) == is_sent(question), name


# Where a task doesn't start, what it says is no JSON yet.
@pytest.mark.parametrize("name", sorted(RUNBOOKS.keys() - {"healthy-tasks"}))
def test_a_page_helps_without_metrics(name: str):
    assert "```logs-insights\n" in RUNBOOKS[name]


# Alarms and their pages --------------------------------------------------------------------


def alarms() -> set[str]:
    """By the ends of their names; of those made for each of a list, what they begin with."""
    text = (ROOT / "terraform/modules/observability/alarms.tf").read_text()
    return {
        *re.findall(r"^ +([a-z0-9-]+) = \{\n +says ", text, re.MULTILINE),
        *re.findall(r'"([a-z0-9-]+)-\$\{[^"]*" => \{\n +says ', text),
        *re.findall(r'alarm_name += "\$\{var\.name\}-([a-z0-9-]+)"', text),
    }


def test_every_alarm_has_a_page_and_every_page_an_alarm():
    assert len(alarms()) > 10
    assert set(RUNBOOKS) == alarms()


def test_every_rule_is_an_alarm_and_leads_to_its_page():
    for rule in RULES:
        assert rule["alert"] in alarms()
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def rate(name: str, **metrics: float) -> float:
    """What the expression of an alarm on a rate comes to; a metric that isn't there has no data."""
    text = (ROOT / "terraform/modules/observability/alarms.tf").read_text()
    found = re.search(rf" {name} = \{{\n.*?expression = \"(.*?)\"\n", text, re.DOTALL)
    assert found
    expression = found[1]
    for local in ("failed", "reached"):
        value = re.search(rf'^  {local} += "(.*)"$', text, re.MULTILINE)
        assert value
        expression = expression.replace(f"${{local.{local}}}", value[1])
    terms = re.sub(r"FILL\((\w+), 0\)", lambda m: str(metrics.get(m[1], 0)), expression)
    condition, then, otherwise = terms.removeprefix("IF(").removesuffix(")").rsplit(", ", 2)
    return eval(then) if eval(condition) else eval(otherwise)  # numbers and operators only


# A stage is sized for 150,000 API requests a month: 17 in 5 minutes.
@pytest.mark.parametrize(
    ("metrics", "goes_off"),
    [
        ({}, False),
        ({"requests": 17}, False),
        ({"requests": 17, "service": 1}, False),
        ({"requests": 17, "service": 2}, True),
        ({"requests": 17, "service": 17}, True),
        ({"balancer": 17}, True),  # no task found: they count nowhere else
        ({"requests": 2, "balancer": 2}, True),
        ({"requests": 200, "service": 2}, False),
        ({"requests": 199, "service": 2}, True),
        ({"requests": 10_000, "service": 100}, False),
        ({"requests": 10_000, "service": 101}, True),
        ({"requests": 1_000, "service": 500, "forged": 490}, False),
        ({"requests": 1_000, "service": 500, "forged": 489}, True),
    ],
)
def test_failures_go_off_at_the_load_that_a_stage_is_sized_for(metrics, goes_off):
    assert (rate("failures", **metrics) > 1) == goes_off


@pytest.mark.parametrize(
    ("metrics", "goes_off"),
    [
        ({}, False),
        ({"requests": 190, "refused": 3.0}, False),
        ({"requests": 190, "refused": 90.0}, True),  # nine requests in ten are for pictures
        ({"requests": 20, "refused": 21.0}, True),
        ({"requests": 19, "refused": 100.0}, False),
    ],
)
def test_pictures_that_are_not_shown_go_off(metrics, goes_off):
    assert (rate("edge-4xx", **metrics) > 20) == goes_off


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_page_says_all_and_fits_a_screen(name: str):
    page = RUNBOOKS[name]
    headings = re.findall(r"^## (.*)", page, re.MULTILINE)
    assert headings == ["What it means", "How to see it", "What to do", "Rehearsed"]
    assert page.startswith(f"# {name}\n")
    assert len(page.splitlines()) <= 55
    assert f"({name}.md)" in (ROOT / "docs/runbooks/README.md").read_text()


def test_what_a_page_links_to_is_there():
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
            linked = (page.parent / target).resolve() if target else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page.name}: #{anchor}"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_page_names_events_that_are_logged():
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    pages = "".join(RUNBOOKS.values())
    events = set(re.findall(r'"?event"? ?[=:] ?"([a-z_]+)"', pages))
    assert len(events) > 10
    assert {event for event in events if f'"{event}"' not in source} == set()


LOGGED = re.compile(
    r'\b(log|tell|access)(?:\.(\w+))?\(\s*(?:# .*\s+)?"([a-z_]+)"( if \w+ else "([a-z_]+)")?'
)


def logged_events() -> dict[str, set[str]]:
    """Names of the events in the source, by level; `tell` is of either error or warning."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for kind, level, event, _, other in LOGGED.findall(path.read_text()):
            found.setdefault(level or kind, set()).update({event, other} - {""})
    return found


def test_every_event_is_explained():
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    events = set().union(*logged_events().values())
    assert len(events) > 50
    assert {event for event in events if f"`{event}`" not in pages} == set()


def test_the_runbook_of_errors_has_every_event_at_that_level():
    events = logged_events()
    errors = set().union(*(events[level] for level in ("error", "exception", "critical", "tell")))
    assert len(errors) > 15
    page = RUNBOOKS["logged-errors"]
    assert {event for event in errors if f"`{event}`" not in page} == set()
