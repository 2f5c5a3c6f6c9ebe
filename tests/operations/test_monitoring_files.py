"""The files under monitoring/, held against a real Prometheus that scrapes a real server."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving import ROOT, Server, free_port

pytestmark = [
    pytest.mark.one_database,
    pytest.mark.skipif(
        shutil.which("promtool") is None and "CI" not in os.environ,
        reason="Prometheus isn't installed: apt-get install prometheus",
    ),
]

PROMETHEUS = ROOT / "monitoring" / "prometheus"
DASHBOARD = ROOT / "monitoring" / "grafana" / "dashboards" / "tailrace.json"
PAGE = ROOT / "docs" / "how-to" / "monitoring.md"
PATIENCE = 60
OURS = re.compile(r"tailrace_\w+")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries() -> list[tuple[str, str]]:
    """Title of the panel and query, of all panels of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_alert_rules_are_right_and_come_when_they_should():
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_every_alert_has_a_test_that_sees_it_come():
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    come = {t["alertname"] for test in tests for t in test["alert_rule_test"] if t.get("exp_alerts")}
    assert {rule["alert"] for rule in rules()} == come


def test_the_page_names_every_alert():
    named = re.findall(r"`(Tailrace\w+)`", PAGE.read_text())
    assert sorted(rule["alert"] for rule in rules()) == sorted(named)


class Prometheus:
    """A Prometheus of its own that scrapes a server every second, by the example of a configuration that we give."""

    def __init__(self, directory: Path, server: Server, token: str) -> None:
        shutil.copytree(PROMETHEUS, directory)
        (directory / "token").write_text(token)
        config = directory / "prometheus.yml"
        text = config.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{server.port}").replace("15s", "1s")
        config.write_text(text)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                 f"--web.listen-address={self.url.removeprefix('http://')}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; none while it starts."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it starts
                return []
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        except OSError:
            return []

    def rules(self) -> list[dict[str, Any]]:
        """The alert rules, as it last evaluated them."""
        with urllib.request.urlopen(f"{self.url}/api/v1/rules", timeout=10) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]

    def until(self, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression} gives nothing: {self.log.read_text()[-2000:]}"
            threading.Event().wait(0.2)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped a server of two processes, before and after that was used in every way."""
    directory = tmp_path_factory.mktemp("monitoring")
    server = Server(directory / "var", auth="required", workers=2, threads=4, snapshot_seconds=0.5).start()
    made = server.manage("create_token", "prometheus", "--create-user", "--role", "viewer", "--scopes", "read")
    found = Prometheus(directory / "prometheus", server, made.stdout.strip())
    try:
        found.until("tailrace_workers == 2")
        use(server)
        found.until('rate(tailrace_spooled_observations_total{job="tailrace"}[1m]) > 0')
        found.until('rate(tailrace_catch_up_observations_count{job="tailrace"}[1m]) > 0')
        found.until('tailrace_model_snapshot_timestamp_seconds{model="m"}')
        yield found
    finally:
        found.stop()
        server.stop()


def use(server: Server) -> None:
    made = server.manage("create_token", "ada", "--create-user")
    credential = {"Authorization": f"Bearer {made.stdout.strip()}"}
    runs = {"name": "runs", "target": {"name": "t"}, "expected": {"every": 3600}}
    assert server.post("/api/v1/streams/", runs, **credential)[0] == 201
    server.post("/api/v1/models/", {"name": "m", "stream": "runs", "recipe": "mean"}, **credential)
    for number in range(30):  # by both processes, so that each has to catch up with the other
        point = {"x": {"a": number}, "y": number, "key": f"k{number}"}
        server.post("/api/v1/streams/runs/observations/", point, **credential)
        server.post("/api/v1/models/m/predict/", {"x": {"a": number}}, **credential)
    server.post("/api/v1/streams/runs/observations/", point, **credential, **{"X-Tailrace-Spooled": "60"})


def test_every_query_of_the_dashboard_gives_series(prometheus):
    empty = []
    for title, expression in queries():
        filled = expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$model", ".*")
        if not prometheus.query(filled.replace("$job", "tailrace")):
            empty.append(f"{title}: {expression}")
    assert not empty, "\n".join(empty)


def test_every_variable_of_the_dashboard_has_values(prometheus):
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            found = prometheus.query(series.replace("$job", "tailrace"))
            assert {one["metric"][label] for one in found} - {""}, variable["name"]


def test_the_page_names_every_metric_and_its_labels(prometheus):
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/series?match[]={{job='tailrace'}}", timeout=10) as answer:
        series = json.load(answer)["data"]
    found: dict[str, set[str]] = {}
    for labels in series:
        name = re.sub(r"_(bucket|sum|count)$", "", labels["__name__"])
        if OURS.fullmatch(name):
            found.setdefault(name, set()).update(labels.keys() - {"__name__", "job", "instance", "le"})
    rows = re.findall(r"^\| `(tailrace_\w+)` \|([^|]*)\|", PAGE.read_text(), re.M)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == found


def test_every_metric_that_an_alert_looks_at_is_there(prometheus):
    for rule in rules():
        for name in OURS.findall(rule["expr"]):
            assert prometheus.query(f'{name}{{job="tailrace"}}'), f"{rule['alert']} looks at {name}"


def test_prometheus_takes_the_rules_and_alerts_of_nothing_while_all_is_well(prometheus):
    deadline = time.monotonic() + PATIENCE
    while not (found := prometheus.rules()) or any(rule["health"] == "unknown" for rule in found):
        assert time.monotonic() < deadline, found
        threading.Event().wait(0.2)
    assert {rule["name"]: rule["health"] for rule in found} == {rule["alert"]: "ok" for rule in rules()}
    firing = [rule["name"] for rule in found if rule["state"] == "firing" and rule["labels"]["severity"] != "info"]
    assert not firing
