"""What the tests of calculations share: a server that asks for tokens, a cluster with an agent, and people."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.api_client import Api
from tests.calculations.agents import Agent
from tests.people import bearer, person, secret_of

API = "/api/v1/calculations/"


class People:
    """Everybody who plays a part, each with a client that shows their token."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}

    def of(self, role: str, name: str | None = None) -> Api:
        name = name or role
        if name not in self.users:
            self.users[name] = person(name, role)
        client = Client(headers=bearer(secret_of(self.users[name])), raise_request_exception=False)
        return Api(client)


@pytest.fixture
def people(db: None, required: None) -> People:
    return People()


@pytest.fixture
def admin(people: People) -> Api:
    return people.of("admin")


@pytest.fixture
def ada(people: People) -> Api:
    """A researcher."""
    return people.of("researcher", "ada")


@pytest.fixture
def moderator(people: People) -> Api:
    return people.of("moderator")


@pytest.fixture(autouse=True)
def _files_of_this_test(settings: Any, tmp_path: Any) -> None:
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})


@pytest.fixture
def new_agent(admin: Api, api: Api) -> Callable[..., Agent]:
    """Adds a cluster, and returns its agent, which has registered."""

    def make(name: str = "alpha", *programs: Any, **fields: Any) -> Agent:
        token = admin.ok("/api/v1/clusters/", {"name": name, **fields}, 201)["token"]
        agent = Agent(api, token, root=f"/scratch/{name}")
        agent.register(*programs)
        return agent

    return make


@pytest.fixture
def agent(new_agent: Callable[..., Agent]) -> Agent:
    return new_agent()


@pytest.fixture
def submit(ada: Api) -> Callable[..., Any]:
    """Submits a calculation, and returns it as the API shows it."""

    def make(by: Api = ada, status: int = 201, **fields: Any) -> Any:
        made = by.ok(API, {"name": "a calculation", "program": "code", **fields}, status)
        return made["calculation"] if status == 201 else made

    return make


@pytest.fixture
def shown(ada: Api) -> Callable[[Any], Any]:
    """A calculation as the API shows it now."""
    return lambda calculation: ada.ok(f"{API}{calculation['id']}/")
