"""The server's image: small, nobody special's, with nothing in it to build with, and it keeps to its volume."""

import time
import urllib.request

import pytest
import tailrace
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from tests.containers.podman import SERVER, Container, inspected, podman, said_by, volume
from tests.serving import PATIENCE, ROOT

pytestmark = pytest.mark.one_database

WRITABLE = ("/dev", "/proc", "/sys", "/tmp", "/var/tmp", "/run/lock", "/var/lock", "/var/lib/tailrace")


@pytest.fixture(scope="module")
def server():
    """A server in a container as strict as can be."""
    with volume() as data, Container(data, workers=2, threads=4) as container:
        yield container


def test_it_is_small():
    assert inspected(SERVER)["Size"] <= 380e6


def test_it_says_what_it_is():
    labels = inspected(SERVER)["Labels"]
    assert labels["org.opencontainers.image.title"] == "Tailrace"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == tailrace.__version__
    assert labels["org.opencontainers.image.revision"]


def test_it_runs_as_nobody_special_under_a_number_that_stays():
    assert inspected(SERVER)["Config"]["User"] == "1000:1000"
    assert said_by(SERVER, "id", "--user").strip() == "1000"
    assert said_by(SERVER, "find", "/", "-xdev", "-perm", "/6000", "-type", "f", options=["--user", "0"]) == ""


def test_it_can_write_to_nothing_but_its_volume_and_what_may_be_lost():
    found = podman(
        "run", "--rm", "--network", "none", SERVER, "find", "/", "-xdev", "-writable", "-not", "-type", "l", ok=False
    )
    assert [path for path in found.stdout.splitlines() if not path.startswith(WRITABLE)] == []


def test_it_holds_nothing_to_build_or_install_with_and_no_cache():
    tools = "gcc cc g++ c++ cpp ld as make cmake pip pip3 uv apt apt-get perl curl wget git"
    found = said_by(SERVER, "sh", "-c", f"for name in {tools}; do command -v $name || true; done")
    assert found == ""
    places = "/root/.cache /tmp /var/tmp /var/cache /var/log /var/lib/apt /home /opt/tailrace/var"
    assert (
        said_by(SERVER, "sh", "-c", f"find {places} -type f -size +0 2>/dev/null || true", options=["--user", "0"])
        == ""
    )
    assert said_by(SERVER, "find", "/opt", "-name", "tests", "-o", "-name", "*.a", "-o", "-name", "*.h") == ""


def test_what_is_installed_is_what_is_pinned():
    code = "from importlib.metadata import distributions as d; print(*sorted(f'{p.name.lower()}=={p.version}' for p in d()))"
    said = said_by(SERVER, "python", "-c", code).split()
    installed = {canonicalize_name(name) + "==" + version for name, _, version in (one.partition("==") for one in said)}
    wanted = {f"tailrace=={tailrace.__version__}"}
    for pins in ("server", "tracing", "s3"):
        for line in (ROOT / "requirements" / f"{pins}.txt").read_text().splitlines():
            name, _, condition = line.partition(" ; ")
            if not condition or Marker(condition).evaluate({"python_full_version": "3.11.2", "python_version": "3.11"}):
                wanted.add(name)
    assert installed == wanted


def test_it_learns_and_predicts_on_a_root_file_system_that_is_read_only(server):
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    for recipe in ("linear", "runtime", "mean"):
        assert server.post("/api/v1/models/", {"name": recipe, "stream": "s", "recipe": recipe})[0] == 201
    for n in range(1, 20):
        point = {"x": {"x": n, "y": 2 * n, "z": 3}, "y": 6.0 * n * n}
        assert server.post("/api/v1/streams/s/observations/", point)[0] == 201
    assert server.post("/api/v1/models/runtime/predict/", {"x": {"x": 4, "y": 8, "z": 3}})[0] == 200
    refused = server.run("touch", "/opt/tailrace/server/x", ok=False)
    assert "Read-only file system" in refused.stderr
    assert "Traceback" not in server.log()


def test_pages_load_their_libraries_which_came_without_node(server):
    for name in ("vendor/uplot/uPlot.iife.min.js", "vendor/3dmol/3Dmol-min.js", "django_htmx/htmx-2.min.js"):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/static/{name}", timeout=PATIENCE) as answer:
            assert answer.status == 200, name
    assert said_by(SERVER, "sh", "-c", "command -v node npm || true") == ""
    licenses = said_by(SERVER, "sh", "-c", "ls /opt/tailrace/server/dashboard/static/vendor/*/LICENSE*").split()
    assert len(licenses) >= 6


def test_nothing_is_compiled_anew_at_each_start(server):
    """What it has loaded was compiled as the image was made: a read-only root keeps nothing."""
    code = (
        "import importlib.util, os, pathlib, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'server.settings';"
        "import server.wsgi, server.urls;"
        "names = [m.__spec__.cached for m in list(sys.modules.values()) if getattr(m, '__file__', None) and m.__file__.endswith('.py')"
        " and getattr(m, '__spec__', None)];"
        "print(*[name for name in names if name and not os.path.exists(name)])"
    )
    assert server.run("python", "-c", code).stdout.split() == []


def test_commands_run_beside_the_server(server):
    assert server.run("manage.py", "migrate", "--check").stdout == ""
    assert "usage: tailrace" in server.run("tailrace", "--help").stdout


def test_it_is_healthy_once_it_is_ready(server):
    assert podman("healthcheck", "run", server.name).returncode == 0
    state = podman("container", "inspect", "--format", "{{.State.Health.Status}}", server.name).stdout.strip()
    assert state == "healthy"


def test_it_is_not_healthy_while_nothing_answers():
    with volume() as data, Container(data, "sleep", "1000") as idle:
        done = idle.run("python", "-m", "server.runtime.healthcheck", ok=False)
        assert done.returncode == 1
        assert f"no response from 127.0.0.1:{idle.port}/readyz" in done.stdout


def test_the_first_process_reaps_what_others_leave_behind():
    orphans = "import os, sys\nfor n in range(5):\n    if os.fork() == 0:\n        os.fork() or os._exit(0)\n        os._exit(0)\n"
    states = "import glob\nfor path in glob.glob('/proc/[0-9]*/stat'):\n    print(open(path).read().rpartition(')')[2].split()[0])"
    with volume() as data, Container(data, "sleep", "1000") as idle:
        assert idle.run("cat", "/proc/1/comm").stdout.strip() == "tini"
        idle.run("python", "-c", orphans)
        deadline = time.monotonic() + PATIENCE
        while "Z" in (found := idle.run("python", "-c", states).stdout.split()) and time.monotonic() < deadline:
            pass
        assert "Z" not in found and len(found) == 3  # tini, sleep and the one that looks


def test_a_start_that_lacks_a_secret_says_so_and_ends():
    done = podman("run", "--rm", "--network", "none", "--env", "TAILRACE_ALLOWED_HOSTS=*", SERVER, ok=False)
    assert done.returncode == 1
    assert "no secret key" in done.stderr and "Traceback" not in done.stderr
