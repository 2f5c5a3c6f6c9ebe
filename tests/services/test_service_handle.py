"""The client's handle on a service, plain and asynchronous, on a real server."""

import asyncio

import pytest
from tailrace import AsyncClient, Client
from tailrace.handles.service import ServiceNotHealthy

from tests.people import bearer, made_on

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
