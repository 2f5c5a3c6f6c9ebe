"""The schema tells the truth: whatever is sent, no answer is a 500, and none is one that it doesn't document."""

import html
import re
import threading
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from server.accounts import tokens, users
from server.api import events
from server.api.v1 import urls
from server.api.v1.openapi import ERRORS
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a hill of 12 stones"
LONGEST_NAME = 150
METHODS = {"get", "post", "patch", "delete"}


@pytest.fixture
def document(api: Api) -> Any:
    return api.ok("/api/v1/schema/")


def test_the_schema_is_openapi_in_json_and_in_yaml(api, document):
    assert document["openapi"].startswith("3.")
    for path, accept in (("/api/v1/schema/?format=yaml", "*/*"), ("/api/v1/schema/", "application/yaml")):
        response = api.get(path, Accept=accept)
        assert response.headers["Content-Type"].startswith("application/yaml")
        assert b"openapi: 3." in response.content


def test_every_address_of_the_native_api_is_in_the_schema(document):
    patterns = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(one.pattern)) for one in urls.urlpatterns}
    assert {f"/api/v1/{pattern}" for pattern in patterns - {"schema/", "docs/"}} == set(document["paths"])


def test_every_operation_has_a_name_a_summary_and_its_errors_in_the_one_shape(document):
    names = []
    for path, methods in document["paths"].items():
        assert set(methods) <= METHODS, path
        for method, operation in methods.items():
            names.append(operation["operationId"])
            assert operation["summary"]
            answers = operation["responses"]
            assert {"400", "401", "403", "429", "503"} <= set(answers), (method, path)
            assert ("404" in answers) or "{" not in path, (method, path)
            assert ("413" in answers) == ("requestBody" in operation), (method, path)
            for status, answer in answers.items():
                if int(status) in ERRORS:
                    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert len(set(names)) == len(names)


def test_every_reference_in_the_schema_is_there(document):
    wanted = set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', __import__("json").dumps(document)))
    assert wanted <= set(document["components"]["schemas"])


def test_the_documentation_works_without_the_internet(api):
    page = api.get("/api/v1/docs/", Accept="text/html,*/*").content.decode()
    *links, script = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 4
    for link in links:
        assert is_static(link), link
    assert "/api/v1/schema/" in api.get(html.unescape(script)).content.decode()


def test_the_front_page_links_to_what_is_there(api):
    page = api.get("/").content.decode()
    links = re.findall(r'href="([^"#]+)"', page)
    assert "/api/v1/docs/" in links
    for link in links:
        assert is_static(link) or api.get(link).status_code == 200, link


def is_static(link: str) -> bool:
    prefix = f"/{django_settings.STATIC_URL.strip('/')}/"
    return link.startswith(prefix) and finders.find(link.removeprefix(prefix)) is not None


def test_health_is_told_to_anyone(api):
    assert api.ok("/healthz") == {"status": "ok"}


# Two of three generated names are put in the place of names that exist: otherwise nearly every request would be a 404.
NAMES: dict[str, list[Any]] = {
    "streams": ["s", "declared"],
    "models": ["lin", "avg"],
    "predictions": ["kept", "done", "a/b"],
    "descriptors": ["soap"],
    "databases": ["dbi"],
    "users": ["ada", "grace"],
    "tokens": [],  # their numbers, as they are made
}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = context.operation.path.split("/")[3]
    for field, value in (path_parameters or {}).items():
        known = {"seq": [1, 2, 3, 4], "cell": ["c0", "c1"]}.get(field) or NAMES[kind]
        pick = sum(str(value).encode()) % (len(known) * 3 // 2)
        if pick < len(known):
            path_parameters[field] = known[pick]
    return path_parameters


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Let every second body be of things that exist, so that what lies behind the first checks is reached too."""
    if isinstance(body, dict) and len(repr(body)) % 2 == 0:
        for field, value in (("stream", "s"), ("recipe", "linear"), ("user", "ada"), ("password", PASSWORD)):
            if isinstance(body.get(field), str) and len(body[field]) <= LONGEST_NAME:  # what is too long stays wrong
                body[field] = value
    return body


@pytest.fixture
def world(api: Api, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A little of everything. Event streams end at once, and passwords are hashed quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    ended = threading.Event()
    ended.set()
    monkeypatch.setattr(events, "STOPPING", ended)
    api.stream("s", segment="k")
    api.stream("declared", features={"a": "number", "k": "category"}, segment="k")
    api.model("lin", "s")
    api.model("avg", "s", "mean")
    for n in range(4):
        api.learn({"a": float(n)}, float(n))
    for identifier in ("kept", "done", "a/b"):
        api.ok("/api/v1/models/lin/predict/", {"x": {"a": 2.0}, "identifier": identifier})
    api.ok("/api/v1/predictions/done/label/", {"y": 2.0})
    api.ok("/api/v1/descriptors/", {"name": "soap", "content": {"r_cut": 3.75}}, 201)
    structure = '1\nLattice="2 0 0 0 2 0 0 0 2"\nCu 0 0 0\n'
    for n in range(2):
        cell = {"name": f"c{n}", "structure": structure, "composition": "Cu"}
        api.ok("/api/v1/streams/s/cells/", {**cell, "observations": [{"x": {"k": "a", "d": n}, "y": 1}]}, 201)
    api.ok("/api/v1/databases/", {"name": "dbi", "stream": "s", "types": {"a": 1}}, 201)
    people = [users.create("ada", "admin", PASSWORD), users.create("grace", "researcher")]
    NAMES["tokens"] = [tokens.create(user, "jobs")[0].pk for user in people]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """What a body of lines is when it is generated as one string."""
    return str(value).encode(errors="replace")


schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    unsupported_method,
]


@pytest.mark.usefixtures("world")
@schema.parametrize()
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_is_answered_as_the_schema_says(case):
    case.call_and_validate(checks=CHECKS)
