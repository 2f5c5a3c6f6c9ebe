"""The model agent with a real Podman: services that work, and images that never answer, lie, end, or eat memory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from tests.containers.podman import podman
from tests.people import made_on
from tests.services.engines import engine_socket, image
from tests.serving import ROOT, free_port

pytestmark = pytest.mark.one_database

KINDS = ("good", "silent", "lies", "ends", "eats", "huge", "turns", "volume")
SAMPLE = {"body": {"xs": [1, 2]}, "expected": {"predictions": [2.0, 4.0]}}


@pytest.fixture(scope="module")
def engine():
    with engine_socket() as address:
        yield address


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("images")
    found = {kind: image(kind, directory) for kind in KINDS}
    yield found
    for kind in KINDS:
        podman("image", "rm", "--force", f"localhost/tailrace-test-{kind}", ok=False)


class Site:
    """A server, and a model agent of it as a process."""

    def __init__(self, server, directory, engine, images):
        self.server, self.directory = server, directory
        self.token = made_on(server, root="admin")["root"][1]
        self.cluster = f"k{uuid.uuid4().hex[:8]}"
        status, made = self.ask("POST", "/api/v1/clusters/", {"name": self.cluster})
        assert status == 201, made
        secret = directory / "agent.token"
        secret.write_text(made["token"])
        secret.chmod(0o600)
        listed = ", ".join(f'"{digest}"' for digest in images.values())
        (directory / "model-agent.toml").write_text(
            f'server = "{server.url}"\ntoken_file = "agent.token"\nsocket = "{engine}"\nbind = "127.0.0.1:{free_port()}"\n'
            f"images = [{listed}]\n[limits]\nservices = 10\nmemory_mb = 200\n"
        )
        self.process = None

    def ask(self, method, path, body=None):
        return self.server.request(method, path, body, {"Authorization": f"Bearer {self.token}"})

    def start(self):
        program = (
            "import sys\nfrom pathlib import Path\nfrom tailrace.agent.site_file import read_token\n"
            "from tailrace.model_agent import ModelAgent, read_settings\nsettings = read_settings(Path(sys.argv[1]))\n"
            "sys.exit(ModelAgent(settings, lambda: read_token(settings.token_file), interval=0.3, check_seconds=0.5).run())"
        )
        with open(self.directory / "agent.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, str(self.directory / "model-agent.toml")],
                env={**os.environ, "PYTHONPATH": str(ROOT / "client")},
                stdout=log,
                stderr=log,
            )
        return self.process

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def create(self, name, digest, **fields):
        asked = {"name": name, "cluster": self.cluster, "image": digest, "sample": SAMPLE, "memory_mb": 100, "pids": 64}
        status, made = self.ask("POST", "/api/v1/services/", {**asked, "start_seconds": 60, **fields})
        assert status == 201, made

    def shown(self, name):
        return self.ask("GET", f"/api/v1/services/{name}/")[1]

    def until(self, name, state, words="", seconds=240):
        deadline = time.monotonic() + seconds
        while True:
            shown = self.shown(name)
            if shown["state"] == state and words in shown["reason"]:
                return shown
            assert time.monotonic() < deadline, (
                shown["state"],
                shown["reason"],
                (self.directory / "agent.log").read_text()[-2000:],
            )
            time.sleep(0.1)

    def invoke(self, name, body):
        return self.ask("POST", f"/api/v1/services/{name}/invocations/", body)

    def containers(self):
        label = f"label=tailrace.model-agent={self.server.url} {self.cluster}"
        return podman("ps", "--all", "--filter", label, "--format", "{{.ID}}").stdout.split()


@pytest.fixture
def site(serve, tmp_path, engine, images):
    server = serve(workers=1, threads=8, auth="required", service_networks="127.0.0.0/8", service_seconds=3)
    site = Site(server, tmp_path, engine, images)
    site.start()
    try:
        yield site
    finally:
        with contextlib.suppress(ProcessLookupError):
            site.kill()
        for container in site.containers():
            podman("rm", "--force", "--time", "0", container, ok=False)


def test_a_good_service_answers_and_is_fenced_in_and_outlives_its_agent(site, images):
    site.create("good", images["good"])
    site.until("good", "healthy")
    assert site.invoke("good", {"xs": [3]}) == (200, {"predictions": [6.0]})
    status, answer = site.invoke("good", {"out": True, "xs": []})
    assert (status, "unreachable" in answer["out"]) == (200, True)
    (container,) = site.containers()
    (found,) = json.loads(podman("container", "inspect", container).stdout)
    host = found["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["Memory"], host["PidsLimit"]) == (
        "none",
        True,
        100 * 2**20,
        64,
    )
    assert not found["EffectiveCaps"]
    assert not [mount for mount in found["Mounts"] if mount["Type"] != "tmpfs"]
    site.kill()
    assert site.invoke("good", {"xs": [3]})[0] == 502
    assert site.containers() == [container]
    site.start()
    deadline = time.monotonic() + 60
    while site.invoke("good", {"xs": [3]})[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert site.containers() == [container]
    assert site.ask("POST", "/api/v1/services/good/restart/", {})[0] == 200
    site.until("good", "healthy")
    (another,) = site.containers()
    assert another != container
    assert site.ask("POST", "/api/v1/services/good/stop/", {})[0] == 200
    site.until("good", "stopped")
    assert site.containers() == []
    assert site.ask("POST", "/api/v1/services/good/run/", {})[0] == 200
    site.until("good", "healthy")
    site.kill()
    assert site.ask("DELETE", "/api/v1/services/good/")[0] == 204
    site.start()
    deadline = time.monotonic() + 60
    while site.containers():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_bad_images_harm_nothing_but_themselves(site, images):
    site.create("good", images["good"])
    site.create("silent", images["silent"], start_seconds=4)
    site.create("lies", images["lies"], start_seconds=4)
    site.create("ends", images["ends"])
    site.create("volume", images["volume"])
    site.create("unlisted", "sha256:" + "0" * 64)
    site.create("greedy", images["good"], memory_mb=201)
    for name in ("eats", "huge", "turns"):
        site.create(name, images[name])
    site.create("xth", images["good"])
    site.until("xth", "refused", "allows 10 services")
    site.until("unlisted", "refused", "does not list the image")
    site.until("greedy", "refused", "allows at most 200")
    site.until("volume", "refused", "volumes: a service may have at most 8")
    site.until("good", "healthy")
    site.until("lies", "backing off", "something else: the answer['predictions'][0] is 3.0, expected 2.0")
    site.until("silent", "backing off", "no answer within")
    site.until("ends", "backing off", "exit code 1 no such model")
    assert site.shown("ends")["restarts"] >= 1
    assert site.invoke("lies", {"xs": [1]})[0] == 503
    site.until("eats", "healthy")
    assert site.invoke("eats", {"eat": True})[0] == 502
    site.until("eats", "backing off", "exceeded its memory")
    site.until("eats", "healthy")  # by itself, after the wait
    site.until("huge", "healthy")
    assert site.invoke("huge", {"huge": True})[0] == 502
    assert site.invoke("huge", {"xs": [1]}) == (200, {"predictions": [2.0]})
    site.until("turns", "healthy")
    site.invoke("turns", {"turn": True, "xs": []})
    site.until("turns", "backing off", "something else")
    assert site.invoke("good", {"xs": [1]}) == (200, {"predictions": [2.0]})
    assert site.shown("good")["restarts"] == 0
