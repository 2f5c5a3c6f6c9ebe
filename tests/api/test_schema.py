"""The schema tells the truth: whatever is sent, no answer is a 500, and none is one that it doesn't document."""

import html
import os
import re
import threading
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test

from server.api import events
from server.api.v1 import seed, urls
from server.api.v1.openapi import ERRORS
from server.runtime.handler import Handler
from tests.api_client import Api
from tests.fuzz import requests

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = 10
"""Generated requests for each operation, besides one for each bound of its schema. `python -m tests.fuzz.api` sends more."""

ON_POSTGRESQL = os.environ.get("TAILRACE_TEST_ON") == "postgresql"
SEED = 2 if ON_POSTGRESQL else 1
"""Other requests on each database."""

METHODS = {"get", "post", "patch", "put", "delete"}


LIMITED_READS = {"getModel", "getMetrics", "downloadModel", "getCoverage", "getReport"}
"""Operations without a body that replay or compare, and refuse what takes too long or too much memory."""


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
    earlier = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(one.pattern)) for one in seed.urlpatterns}
    native = {f"/api/v1/{pattern}" for pattern in patterns - {"schema/", "docs/"}}
    assert native | {f"/api/seed/{pattern}" for pattern in earlier} == set(document["paths"])


def test_every_operation_has_a_name_a_summary_and_its_errors_in_the_one_shape(document):
    names = []
    for path, methods in document["paths"].items():
        assert set(methods) <= METHODS, path
        for method, operation in methods.items():
            names.append(operation["operationId"])
            assert operation["summary"]
            answers = operation["responses"]
            assert {"400", "401", "403", "414", "429", "431", "503"} <= set(answers), (method, path)
            assert ("404" in answers) or "{" not in path, (method, path)
            is_limited = "requestBody" in operation or operation["operationId"] in LIMITED_READS
            assert ("413" in answers) == is_limited, (method, path)
            for status, answer in answers.items():
                if int(status) in ERRORS:
                    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert len(set(names)) == len(names)


def test_what_an_address_takes_is_what_the_schema_says(api, document):
    for path, methods in document["paths"].items():
        for method in {"OPTIONS", "PUT"} - {one.upper() for one in methods}:
            response = api.client.generic(method, re.sub(r"{\w+}", "1", path))
            assert response.status_code == 405
            allowed = {one.strip().lower() for one in response.headers["Allow"].split(",")} - {"head", "options"}
            assert allowed == set(methods), path


def test_every_text_and_list_that_comes_in_has_its_limit(document):
    """Whatever a body may hold is bounded by the schema: nobody has to try what is refused."""
    schemas = document["components"]["schemas"]
    unbounded: set[str] = set()

    def look(schema: Any, where: str) -> None:
        if "$ref" in schema:
            return look(schemas[schema["$ref"].rpartition("/")[2]], where)
        kinds = schema.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if "enum" in schema or "const" in schema:
            return None
        if "string" in kinds and "format" not in schema and not ({"pattern"} <= set(schema) and _is_bounded(schema)):
            unbounded.add(where)
        if kinds & {"integer", "number"} and not _has_both_ends(schema):
            unbounded.add(where)
        if "array" in kinds and "maxItems" not in schema and "enum" not in schema["items"]:
            unbounded.add(where)
        for name, one in schema.get("properties", {}).items():
            look(one, f"{where}.{name}")
        for part in ("items", "additionalProperties", "propertyNames"):
            if isinstance(schema.get(part), dict):
                look(schema[part], f"{where}.{part}")
        for number, one in enumerate((*schema.get("anyOf", ()), *schema.get("oneOf", ()))):
            look(one, f"{where}[{number}]")
        return None

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                look(parameter["schema"], f"{method} {path} {parameter['name']}")
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                if kind == "application/json":
                    look(content["schema"], f"{method} {path}")
    # A class of an estimator is one of hundreds; a composition's pattern can't say how long it is.
    assert {one for one in unbounded if not one.endswith(".estimator.class")} == set()


def _is_bounded(schema: dict[str, Any]) -> bool:
    return (
        "maxLength" in schema
        or re.search(r"\{\d+(,\d+)?\}\)?\$$", schema["pattern"]) is not None
        or "{0,4}" in schema["pattern"]
    )


def _has_both_ends(schema: dict[str, Any]) -> bool:
    return bool({"minimum", "exclusiveMinimum"} & set(schema)) and bool({"maximum", "exclusiveMaximum"} & set(schema))


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


@pytest.fixture
def world(api: Api, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A little of everything. Event streams end at once, and passwords are hashed quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    ended = threading.Event()
    ended.set()
    monkeypatch.setattr(events, "STOPPING", ended)
    requests.populate(api)


schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", Handler())
if ON_POSTGRESQL:  # what the schema refuses, nine of ten requests, comes to no database: SQLite's turn tries it
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
OPERATIONS = {one.label: one for one in (found.ok() for found in schema.get_all_operations())}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def answered_as_the_schema_says(case):
    case.call_and_validate(checks=requests.CHECKS)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_sent_is_answered_as_the_schema_says(operation):
    """Made here and not by `schema.parametrize()`, which makes all requests whenever the file is collected: 20 s a process."""
    made = HypothesisTestConfig(project=schema.config, modes=list(HypothesisTestMode), seed=SEED)
    create_test(operation=OPERATIONS[operation], test_func=answered_as_the_schema_says, config=made)()
