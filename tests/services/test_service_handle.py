"""The client's handle on a service, plain and asynchronous, and the command, on a real server."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys

import pytest
from tailrace import AsyncClient, Client
from tailrace.handles.service import ServiceNotHealthy

from tests.people import bearer, made_on
from tests.services.test_services_api import Container
from tests.serving import PATIENCE, ROOT

IMAGE = "sha256:" + "a" * 64


def test_services_are_created_changed_and_waited_for(serve):
    server = serve(workers=1, threads=4, auth="required")
    token = made_on(server, root="admin")["root"][1]
    status, made = server.request("POST", "/api/v1/clusters/", {"name": "k"}, bearer(token))
    assert status == 201, made
    client = Client(server.url, token)
    service = client.create_service("v", "k", IMAGE, {"xs": [1]}, [2.0], memory_mb=100)
    assert service.state == "waiting"
    with pytest.raises(ServiceNotHealthy, match="v is waiting"):
        service.wait(0)
    assert service.stop().info()["wanted"] == "stopped"
    assert service.run().restart().info()["generation"] == 2
    assert [one["name"] for one in client.services()] == ["v"]
    assert "100 MB" in repr(service.info())
    report = {"name": "v", "generation": 2, "wanted": "running", "state": "healthy", "reason": "", "restarts": 0}
    sync = {
        "session": "u", "begins": True, "address": "", "secret": "x", "version": "1", "images": [IMAGE], "services": [report],
    }  # fmt: skip
    assert server.request("POST", "/api/v1/agent/services/", sync, bearer(made["token"]))[0] == 200
    assert service.wait(5) is service

    async def asked():
        async with AsyncClient(server.url, token) as found:
            other = found.service("v")
            assert await (await other.wait(5)).state == "healthy"
            assert [one["name"] for one in await found.services()] == ["v"]
            await other.stop()
            await other.delete()
            assert list(await found.services()) == []

    asyncio.run(asked())


@contextlib.contextmanager
def running(container):
    yield container
    container.shutdown()
    container.server_close()


def test_the_command_does_the_same(serve, tmp_path):
    with running(Container()) as container:
        address = f"http://127.0.0.1:{container.server_port}"
        server = serve(workers=1, threads=4, auth="required", service_networks="127.0.0.0/8")
        token = made_on(server, root="admin")["root"][1]
        made = server.request("POST", "/api/v1/clusters/", {"name": "k"}, bearer(token))
        assert made[0] == 201, made
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        environment |= {"PYTHONPATH": str(ROOT / "client"), "TAILRACE_URL": server.url, "TAILRACE_TOKEN": token}

        def services(*arguments, code=0, given=""):
            done = subprocess.run(
                [sys.executable, "-m", "tailrace", "services", *arguments], cwd=tmp_path, env=environment, input=given,
                capture_output=True, text=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout + done.stderr

        (tmp_path / "body.json").write_text('{"xs": [1]}')
        create = ["create", "v", "--cluster", "k", "--image", IMAGE, "--body", "@body.json", "--expected", "[2.0]"]
        assert "100 MB" in services(*create, "--memory-mb", "100")
        assert "waiting" in services("list") and "agent: never" in services("show", "v")
        assert "v is waiting" in services("run", "v", "--wait", "0.1", code=1)
        report = {"name": "v", "generation": 1, "wanted": "running", "state": "healthy", "reason": "", "restarts": 0}
        sync = {
            "session": "u", "begins": True, "address": address, "secret": "x", "version": "1", "images": [IMAGE], "services": [report],
        }  # fmt: skip
        assert server.request("POST", "/api/v1/agent/services/", sync, bearer(made[1]["token"]))[0] == 200
        assert json.loads(services("run", "v", "--wait", "60", "--json"))["state"] == "healthy"
        for arguments, given, body in (
            (("v",), "", {"xs": [1]}), (("v", '{"xs": [2]}'), "", {"xs": [2]}), (("v", "-"), "[3]", [3]), (("v", "@body.json"), "", {"xs": [1]}),
        ):  # fmt: skip
            assert json.loads(services("invoke", *arguments, given=given)) == {"predictions": [2.0]}
            assert json.loads(container.came[-1][2]) == body
        assert json.loads(services("restart", "v", "--json"))["generation"] == 2
        assert json.loads(services("stop", "v", "--json"))["wanted"] == "stopped"
        assert json.loads(services("list", "--json"))["services"][0]["name"] == "v"
        services("delete", "v", "--confirm", "w", code=2)
        assert "is deleted" in services("delete", "v", "--confirm", "v")
        for wrong in (
            ("create", "v"), ("show",), ("list", "v"), ("show", "v", "{}"), ("invoke", "v", "{"), ("invoke", "v", "@none"), ("stop", "v", "--wait", "3"),
            ("delete", "v"),
        ):  # fmt: skip
            services(*wrong, code=2 if wrong != ("delete", "v") else 1)
