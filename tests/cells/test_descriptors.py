"""Descriptor definitions, and streams whose features are made by one."""

import hashlib
import json
from typing import Any

import pytest

from server.accounts.models import AuditEntry
from server.cells.models import Descriptor
from tests.api_client import refused
from tests.cell_examples import DEFINITION, everything

pytestmark = pytest.mark.django_db(transaction=True)

DESCRIPTORS = "/api/v1/descriptors/"
POINT = {"x": {"bond": "Zr-Cu", "distance": 2.7, "s0": 0.5}, "y": 2.1}


def test_a_definition_comes_back_with_the_checksum_of_its_canonical_json(api):
    content = {"z": [1, 2.5, "Å"], "a": {"y": None, "b": True}}
    response = api.post(DESCRIPTORS, {"name": "soap-1", "content": content})
    made = response.json()
    assert response.status_code == 201
    assert made["content"] == content
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert made["fingerprint"] == hashlib.sha256(text.encode()).hexdigest()
    assert api.get(response.headers["Location"]).json() == made
    listed = api.ok(DESCRIPTORS)["descriptors"]
    assert listed == [{name: value for name, value in made.items() if name != "content"}]


def test_the_same_definition_once_more_changes_nothing_however_it_is_written(api):
    api.ok(DESCRIPTORS, {"name": "soap", "content": DEFINITION}, 201)
    before = everything(api)
    swapped = dict(reversed(DEFINITION.items()))
    again = api.ok(DESCRIPTORS, {"name": "soap", "content": swapped}, 200)
    assert again == api.ok(DESCRIPTORS + "soap/")
    assert everything(api) == before


def test_another_definition_under_the_same_name_is_refused(api):
    api.ok(DESCRIPTORS, {"name": "soap", "content": DEFINITION}, 201)
    before = everything(api)
    error = refused(
        api.post(DESCRIPTORS, {"name": "soap", "content": {**DEFINITION, "r_cut": 3.8}}), 409, "name", "name_taken"
    )
    assert "choose another name" in error["message"]
    assert everything(api) == before
    for method in ("PUT", "PATCH", "DELETE"):
        assert api.client.generic(method, DESCRIPTORS + "soap/").status_code == 405


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body, status, field",
    [
        ({"name": "soap"}, 400, "content"),
        ({"content": {}}, 400, "name"),
        ({"name": "a/b", "content": {}}, 400, "name"),
        ({"name": "", "content": {}}, 400, "name"),
        ({"name": 3, "content": {}}, 400, "name"),
        ({"name": "soap", "content": None}, 400, "content"),
        ({"name": "soap", "content": [1]}, 400, "content"),
        ({"name": "soap", "content": "{}"}, 400, "content"),
        ({"name": "soap", "content": {}, "version": 1}, 400, "version"),
        ({"name": "soap", "content": nested(60)}, 400, "content"),
        ({"name": "soap", "content": nested(200)}, 400, "content"),
        ({"name": "soap", "content": {"a": "x" * 2**20}}, 413, "content"),
    ],
)
def test_what_is_no_definition_is_refused_by_its_field(api, body, status, field):
    refused(api.post(DESCRIPTORS, body), status, field)
    assert not Descriptor.objects.exists()


def test_what_is_odd_but_json_is_kept_as_it_is(api):
    content = {"nul": "\x00", "": [], "big": 2**63, "small": 5e-324, "deep": nested(40)}
    assert api.ok(DESCRIPTORS, {"name": "odd", "content": content}, 201)["content"] == content
    assert api.ok(DESCRIPTORS + "odd/")["content"] == content


def test_a_definition_that_is_not_there_is_said_to_be_missing(api):
    for name in ("nothing", "%00", "a%2Fb"):
        assert api.get(f"{DESCRIPTORS}{name}/").status_code == 404
    refused(
        api.post("/api/v1/streams/", {"name": "s", "target": {"name": "y"}, "descriptor": "nothing"}), 404, "descriptor"
    )
    refused(api.post("/api/v1/streams/", {"name": "s", "target": {"name": "y"}, "descriptor": 3}), 404, "descriptor")
    assert api.get("/api/v1/streams/s/").status_code == 404


def test_a_definition_is_in_the_audit_trail(api):
    made = api.ok(DESCRIPTORS, {"name": "soap", "content": DEFINITION}, 201)
    api.ok(DESCRIPTORS, {"name": "soap", "content": DEFINITION}, 200)
    entry = AuditEntry.objects.get(action="descriptor.create")
    assert (entry.target, json.loads(entry.after)) == ("soap", {"fingerprint": made["fingerprint"]})
    api.stream("bonds", descriptor="soap")
    assert json.loads(AuditEntry.objects.get(action="stream.create").after)["descriptor"] == "soap"


# Streams whose features are made by a definition


def test_a_stream_shows_its_descriptor(bonds):
    assert bonds.api.ok("/api/v1/streams/bonds/")["descriptor"] == "soap"
    assert bonds.api.stream("plain")["descriptor"] is None


@pytest.mark.parametrize("body", [POINT, {"observations": [POINT, POINT]}], ids=["one", "many"])
def test_a_post_that_names_the_descriptor_is_learned(bonds, body):
    bonds.api.model("avg", "bonds", "mean")
    receipt = bonds.api.ok(bonds.OBSERVATIONS, {**body, "descriptor": "soap"}, 201)
    assert (receipt["first"], list(receipt["models"])) == (1, ["avg"])
    assert bonds.api.ok(bonds.OBSERVATIONS)["observations"][0]["x"] == POINT["x"]


@pytest.mark.one_database
@pytest.mark.parametrize("named", [{}, {"descriptor": None}, {"descriptor": "other"}, {"descriptor": "sOAP"}])
@pytest.mark.parametrize("body", [POINT, {"observations": [POINT]}, {**POINT, "key": "k"}], ids=["one", "many", "key"])
def test_a_post_with_none_or_another_descriptor_is_refused_and_nothing_stored(bonds, body, named):
    bonds.api.model("avg", "bonds", "mean")
    before = everything(bonds.api)
    error = refused(bonds.api.post(bonds.OBSERVATIONS, {**body, **named}), 409, "descriptor", "conflict")
    assert "'soap'" in error["message"]
    assert everything(bonds.api) == before


def test_lines_can_name_no_descriptor_and_are_refused(bonds):
    response = bonds.api.post(bonds.OBSERVATIONS, json.dumps(POINT).encode(), "application/x-ndjson")
    refused(response, 409, "descriptor")
    lines = json.dumps({**POINT, "descriptor": "soap"}).encode()
    refused(bonds.api.post(bonds.OBSERVATIONS, lines, "application/x-ndjson"), 400, "observations[0].descriptor")


def test_a_point_among_many_does_not_name_it_for_all(bonds):
    body = {"observations": [{**POINT, "descriptor": "soap"}]}
    refused(bonds.api.post(bonds.OBSERVATIONS, body), 400, "observations[0].descriptor")


def test_a_stream_without_one_refuses_a_post_that_names_one(bonds):
    bonds.api.stream("plain")
    for body in (POINT, {"observations": [POINT]}):
        before = everything(bonds.api)
        refused(
            bonds.api.post("/api/v1/streams/plain/observations/", {**body, "descriptor": "soap"}), 409, "descriptor"
        )
        assert everything(bonds.api) == before
    assert bonds.api.ok("/api/v1/streams/plain/observations/", {**POINT, "descriptor": None}, 201)["first"] == 1


def test_a_post_that_names_one_makes_no_stream(bonds):
    refused(bonds.api.post("/api/v1/streams/fresh/observations/", {**POINT, "descriptor": "soap"}), 404, "stream")
    assert bonds.api.get("/api/v1/streams/fresh/").status_code == 404


@pytest.mark.one_database
@pytest.mark.parametrize("named", [3, ["soap"], "x" * 201, "a\x00b"])
def test_what_can_be_no_name_is_refused(bonds, named):
    refused(bonds.api.post(bonds.OBSERVATIONS, {**POINT, "descriptor": named}), 400, "descriptor")


def test_riverapi_cannot_name_it_and_so_cannot_teach_the_stream(bonds):
    bonds.api.model("avg", "bonds", "mean")
    before = everything(bonds.api)
    body = {"model": "avg", "features": POINT["x"], "ground_truth": 2.0}
    refused(bonds.api.post("/api/learn/", body), 409, "descriptor")
    assert everything(bonds.api) == before


def test_a_late_label_names_the_descriptor_too(bonds):
    bonds.api.model("avg", "bonds", "mean")
    question = {"x": POINT["x"], "identifier": "kept"}
    bonds.api.ok("/api/v1/models/avg/predict/", question)
    label = "/api/v1/predictions/kept/label/"
    refused(bonds.api.post(label, {"y": 2.0}), 409, "descriptor")
    refused(bonds.api.post("/api/label/", {"model": "avg", "identifier": "kept", "label": 2.0}), 409, "descriptor")
    refused(bonds.api.post(label, {"y": 2.0, "descriptor": "other"}), 409, "descriptor")
    assert bonds.api.ok("/api/v1/streams/bonds/")["head"] == 0
    assert bonds.api.ok(label, {"y": 2.0, "descriptor": "soap"}, 200)["first"] == 1
