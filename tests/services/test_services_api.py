"""Services of the native API: what is wanted, what agents report, and requests that are passed on to them."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from server.accounts import cluster_tokens
from server.accounts.models import AuditEntry
from server.calculations.models import Cluster
from server.services import proxying
from server.services.models import Service
from tests.api_client import refused
from tests.people import bearer, person
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = "registry.example.org/runtime@sha256:" + "a" * 64
SAMPLE = {"body": {"instances": [{"a": 1}]}, "expected": {"predictions": [2.0]}}
ASKED = {"name": "v", "cluster": "k", "image": IMAGE, "sample": SAMPLE, "memory_mb": 256}


class Agent:
    """A model agent's side of the exchange."""

    def __init__(self, api):
        admin = person("root", "admin")
        self.api = api
        cluster = Cluster.objects.create(name="k")
        self.headers = bearer(cluster_tokens.create(admin, cluster.pk, "k", []))
        self.fields = {
            "session": "one", "begins": True, "address": "http://127.0.0.1:9", "secret": "hush", "version": "1", "images": [IMAGE],
        }  # fmt: skip

    def sync(self, status=200, services=(), **changed):
        response = self.api.post(
            "/api/v1/agent/services/", {**self.fields, "services": list(services), **changed}, **self.headers
        )
        assert response.status_code == status, response.content
        return response.json() if status == 200 else response

    def report(self, state, reason="", generation=1, wanted="running", **changed):
        one = {"name": "v", "generation": generation, "wanted": wanted, "state": state, "reason": reason, "restarts": 0}
        return self.sync(services=[{**one, **changed}])


@pytest.fixture
def agent(api):
    return Agent(api)


def test_a_service_goes_from_a_wish_to_a_healthy_container_and_away(api, agent):
    made = api.ok("/api/v1/services/", ASKED, 201)
    assert (made["state"], made["contact"], made["is_allowed"]) == ("waiting", "never", False)
    (wanted,) = agent.sync()["services"]
    assert wanted == {
        "name": "v", "image": IMAGE, "port": 8080, "memory_mb": 256, "cpus": 1.0, "pids": 128, "start_seconds": 60,
        "wanted": "running", "generation": 1, "sample": {**SAMPLE, "tolerance": 1e-9},
    }  # fmt: skip
    agent.report("starting", "no answer yet")
    agent.report("healthy")
    (shown,) = api.ok("/api/v1/services/")["services"]
    assert (shown["state"], shown["contact"], shown["is_allowed"]) == ("healthy", "ok", True)
    assert "hush" not in json.dumps(shown)
    assert api.ok("/api/v1/services/v/restart/", {})["generation"] == 2
    agent.report("healthy")  # of before
    assert api.ok("/api/v1/services/v/")["state"] == "waiting"
    agent.report("unhealthy", "it lies", generation=2)
    assert api.ok("/api/v1/services/v/")["reason"] == "it lies"
    api.ok("/api/v1/services/v/stop/", {})
    refused(api.post("/api/v1/services/v/restart/", {}), 409)
    (wanted,) = agent.report("stopped", generation=2, wanted="stopped")["services"]
    assert wanted["wanted"] == "stopped"
    assert api.ok("/api/v1/services/v/run/", {})["wanted"] == "running"
    assert api.delete("/api/v1/services/v/").status_code == 204
    assert api.get("/api/v1/services/v/").status_code == 404
    refused(api.post("/api/v1/services/", ASKED), 409, "name", "name_taken")  # its container is still there
    (wanted,) = agent.sync()["services"]
    assert wanted["wanted"] == "deleted"
    assert agent.report("deleted", generation=2, wanted="deleted")["services"] == []
    assert not Service.objects.exists()
    actions = AuditEntry.objects.filter(target="v").order_by("pk").values_list("action", flat=True)
    assert list(actions) == [f"service.{action}" for action in ("create", "restart", "stop", "run", "delete")]


def test_a_newer_run_of_the_agent_takes_over(api, agent):
    agent.sync()
    agent.sync(begins=False)
    agent.sync(session="two")
    assert refused(agent.sync(409, begins=False), 409)["code"] == "superseded"
    agent.sync(session="two", begins=False)


@together(
    "changed, field",
    [
        ({"image": "runtime:latest"}, "image"),
        ({"image": "sha256:" + "a" * 63}, "image"),
        ({"image": f"{IMAGE} --privileged"}, "image"),
        ({"image": f"-v@sha256:{'a' * 64}"}, "image"),
        ({"sample": {"body": {}}}, "sample.expected"),
        ({"sample": {"body": {}, "expected": {}, "tolerance": -1}}, "sample.tolerance"),
        ({"sample": {"body": "x" * 200_000, "expected": {}}}, "sample"),
        ({"port": 0}, "port"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"cpus": 0}, "cpus"),
        ({"name": "../v"}, "name"),
        ({"command": ["sh"]}, "command"),
        ({"mounts": ["/"]}, "mounts"),
    ],
)
def test_bad_services_are_refused(api, agent, changed, field):
    refused(api.post("/api/v1/services/", {**ASKED, **changed}), 400, field)


@together(
    "address",
    [
        "http://example.org:80",
        "https://127.0.0.1:9",
        "http://127.0.0.1",
        "http://u:p@127.0.0.1:9",
        "http://127.0.0.1:9/x",
        "x",
    ],
)
def test_addresses_that_may_be_anything_are_refused(api, agent, address):
    refused(agent.sync(400, address=address), 400, "address")


def test_only_the_token_of_a_cluster_may_sync(api, agent):
    assert api.post("/api/v1/agent/services/", {**agent.fields, "services": []}).status_code == 401


class Container(HTTPServer):
    """An agent's address: it answers what it is told to, and keeps what came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.kind, self.content, self.mark = 200, "application/json", b'{"predictions":[2.0]}', "1"
        self.came = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, dict(self.headers), content))
        self.send_response(self.server.status)
        self.send_header("X-Tailrace-Agent", self.server.mark)
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def container():
    server = Container()
    yield server
    server.shutdown()
    server.server_close()


def test_requests_are_passed_on_with_the_secret_and_nothing_of_the_caller(api, agent, container, settings, monkeypatch):
    def ask(status, body=SAMPLE["body"], kind="application/json"):
        response = api.post("/api/v1/services/v/invocations/", body, kind, **{"X-Secret": "mine"})
        assert response.status_code == status, response.content
        return response

    api.ok("/api/v1/services/", ASKED, 201)
    assert "not in contact" in refused(ask(503), 503)["message"]
    agent.fields["address"] = f"http://127.0.0.1:{container.server_port}"
    agent.report("starting", "no answer yet")
    assert "starting: no answer yet" in refused(ask(503), 503)["message"]
    agent.report("healthy")
    assert refused(ask(409), 409)["code"] == "address_not_allowed"
    assert not container.came
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"service_networks": "10.0.0.0/8, 127.0.0.0/8"})
    assert ask(200).json() == {"predictions": [2.0]}
    path, headers, content = container.came.pop()
    assert path == "/services/v/invocations"
    assert headers["Authorization"] == "Bearer hush"
    assert "X-Secret" not in headers
    assert json.loads(content) == SAMPLE["body"]
    refused(ask(400, b"{"), 400, code="not_json")
    container.status, container.content = 400, b'{"error":"no such feature"}'
    assert ask(400).json() == {"error": "no such feature"}
    container.status, container.content, container.kind = 200, b"<script>", "text/html"
    assert "text/html" in refused(ask(502), 502)["message"]
    container.kind, container.mark = "application/json", "0"
    assert "not a model agent" in refused(ask(502), 502)["message"]
    container.mark, container.content = "1", b"[" + b"1," * 100
    monkeypatch.setattr(proxying, "LARGEST_ANSWER", 100)
    assert "longer than 100" in refused(ask(502), 502)["message"]
    monkeypatch.setattr(proxying, "LARGEST_BODY", 10)
    ask(413)
    with proxying.PASSING.held(None):
        monkeypatch.setattr(proxying.PASSING, "limits", lambda: (1, 1))
        monkeypatch.setattr(proxying, "LARGEST_BODY", 1000)
        assert "at once" in refused(ask(503), 503)["message"]
    api.ok("/api/v1/services/v/stop/", {})
    assert refused(ask(409), 409)["code"] == "stopped"


def test_an_answer_by_drops_ends_in_time_and_a_secret_is_a_header(api, agent, container, settings, monkeypatch):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not handler.server.is_over.wait(0.05):
                handler.wfile.write(b" ")

    container.is_over = threading.Event()
    monkeypatch.setattr(Handler, "do_POST", drip)
    changed = {"service_networks": "127.0.0.0/8", "service_seconds": 0.1}
    settings.TAILRACE = settings.TAILRACE.model_copy(update=changed)
    api.ok("/api/v1/services/", ASKED, 201)
    agent.fields["address"] = f"http://127.0.0.1:{container.server_port}"
    agent.report("healthy")
    response = api.post("/api/v1/services/v/invocations/", SAMPLE["body"])
    container.is_over.set()
    assert "did not answer within 2.1 s" in refused(response, 502)["message"]
    assert not proxying.PASSING.by_caller
    refused(agent.sync(400, secret="a\r\nX-Evil: 1"), 400, "secret")
