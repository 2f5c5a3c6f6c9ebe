"""A stream goes with all that depends on it where its name confirms that, and nothing else ever goes."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from server.accounts import audit
from server.accounts.models import AuditEntry
from server.learning.models import Prediction
from server.operations.recount import recount
from server.streams import registry
from server.streams.errors import NotFound
from server.streams.models import Stream
from tests.api.conftest import Api
from tests.cells.conftest import Bonds, bond, new_cell, refused
from tests.people import bearer, person, secret_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

STREAM = "/api/v1/streams/bonds/"
DATABASE = {"name": "dbi", "stream": "bonds"}


def of(user: str, role: str = "researcher") -> Api:
    """The API as that user calls it."""
    known = User.objects.filter(username=user).first() or person(user, role)
    client = Client(headers=bearer(secret_of(known)))
    client.raise_request_exception = False
    return Api(client)


def filled(caller: Api) -> Bonds:
    """A stream with everything that can depend on one: the caller's, and two models."""
    bonds = Bonds(caller)
    for name in ("tree", "other"):
        bonds.tree(name)
    bonds.add()
    failed = {**new_cell("failed"), "status": "failed", "reason": "not converged"}
    caller.ok(bonds.CELLS, {name: value for name, value in failed.items() if name != "observations"}, 201)
    caller.ok(bonds.OBSERVATIONS, {**bond("Zr-Cu", 2.9), "key": "k", "descriptor": "soap"}, 201)
    question = {"x": bond("Zr-Cu", 2.6)["x"], "identifier": "waits"}
    caller.ok("/api/v1/models/tree/predict/", question)
    of("mod", "moderator").ok(f"{bonds.OBSERVATIONS}2/retract/", {"reason": "wrong"}, 202)
    caller.ok("/api/v1/databases/", DATABASE, 201)
    return bonds


def rows() -> dict[tuple[str, Any], dict[str, Any]]:
    """Each row of each table, by table and key."""
    found = {}
    for table in (table for table in apps.get_models() if table._meta.managed):
        for row in table._base_manager.values():
            found[table._meta.db_table, row[table._meta.pk.attname]] = row
    return found


def test_all_that_depends_on_it_goes_and_nothing_else_changes():
    ada = of("ada")
    filled(ada)
    ada.stream("kept", target={"name": "-ICOHP", "unit": "eV"}, segment="bond", descriptor="soap")
    ada.model("kept", "kept", "mean")
    ada.learn({"bond": "Zr-Cu"}, 1.0, stream="kept", key="k", descriptor="soap")
    ada.ok("/api/v1/models/kept/predict/", {"x": {"bond": "Zr-Cu"}, "identifier": "waits"})
    recount()  # what the process holds in reserve
    before = rows()
    (number,) = [key for (table, key), row in before.items() if table == "streams_stream" and row["name"] == "bonds"]
    models = {key for (table, key), row in before.items() if table == "learning_model" and row["stream_id"] == number}

    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204

    after = rows()
    gone = {place for place in before if place not in after}
    depending = {
        place for place, row in before.items()
        if place == ("streams_stream", number) or row.get("stream_id") == number or row.get("model_id") in models
    }  # fmt: skip
    assert gone == depending
    tables = {table for table, _ in gone}
    assert tables >= {
        "streams_batch", "streams_key", "streams_retraction", "learning_model", "learning_prediction", "cells_cell",
        "cells_database",
    }  # fmt: skip
    changed = {table for (table, key), row in after.items() if before.get((table, key)) != row}
    assert changed - {"accounts_token"} <= {"streams_usage", "accounts_auditentry", "accounts_audithead"}
    assert recount() == []
    refused(ada.get(STREAM), 404, "stream")
    assert ada.ok("/api/v1/streams/kept/")["head"] == 1


def test_each_thing_that_goes_is_in_the_audit_trail():
    ada = of("ada")
    filled(ada)
    before = AuditEntry.objects.count()
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    told = [(one.action, one.target, one.username) for one in AuditEntry.objects.order_by("number")[before:]]
    assert told == [
        ("model.delete", "tree", "ada"), ("model.delete", "other", "ada"), ("database.delete", "dbi", "ada"),
        ("stream.delete", "bonds", "ada"),
    ]  # fmt: skip
    assert list(audit.verify()) == []


@pytest.mark.parametrize(
    ("query", "status", "field", "code"),
    [
        ("", 409, "confirm", "has_observations"),
        ("?confirm=bond", 400, "confirm", None),
        ("?confirm=BONDS", 400, "confirm", None),
        ("?confirm=", 400, "confirm", None),
        ("?confirmed=bonds", 400, "confirmed", "unknown_field"),
    ],
)
def test_without_its_name_nothing_goes(query, status, field, code):
    ada = of("ada")
    filled(ada)
    before = rows()
    refused(ada.delete(STREAM + query), status, field, code)
    assert rows() == before


def test_only_its_owner_and_moderators_may():
    filled(of("ada"))
    refused(of("eve").delete(f"{STREAM}?confirm=bonds"), 403)
    assert of("ada").ok(STREAM)["head"] == 5
    assert of("mod", "moderator").delete(f"{STREAM}?confirm=bonds").status_code == 204


@pytest.mark.parametrize("what", ["model", "database"])
def test_what_somebody_else_made_of_it_keeps_it(what):
    filled(of("ada"))
    eve = of("eve")
    if what == "model":
        eve.model("eves", "bonds", "mean")
    else:
        eve.ok("/api/v1/databases/", {**DATABASE, "name": "eves"}, 201)
    error = refused(of("ada").delete(f"{STREAM}?confirm=bonds"), 403)
    assert f"{what} eves belongs to somebody else" in error["message"]
    assert of("ada").ok(STREAM)["counts"]["models"] == 2 + (what == "model")


def test_its_name_is_free_again_and_begins_anew():
    ada = of("ada")
    filled(ada)
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    refused(ada.delete(f"{STREAM}?confirm=bonds"), 404, "stream")
    receipt = ada.learn({"a": 1}, 2.0, stream="bonds", key="k")
    assert (receipt["first"], receipt["duplicates"]) == (1, 0)
    ada.model("tree", "bonds", "mean")


@pytest.mark.parametrize("table", ["observations", "predictions", "bytes"])
def test_a_long_one_is_left_to_the_operator(table, monkeypatch, capsys):
    ada = of("ada")
    filled(ada)
    monkeypatch.setattr(registry, "MOST_DELETED", 0 if table == "observations" else 10**6)
    if table == "bytes":
        monkeypatch.setattr(registry, "MOST_DELETED_BYTES", 100)
    if table == "predictions":
        monkeypatch.setattr(Prediction.objects, "filter", lambda **chosen: SimpleNamespace(count=lambda: 10**6 + 1))
    before = rows()
    error = refused(ada.delete(f"{STREAM}?confirm=bonds"), 409, "confirm", "too_long")
    assert "manage.py delete_stream bonds" in error["message"]
    assert rows() == before
    monkeypatch.undo()
    call_command("delete_stream", "bonds")
    assert rows() == before
    assert "models: other, tree" in capsys.readouterr().out
    call_command("delete_stream", "bonds", "--yes")
    refused(ada.get(STREAM), 404)
    assert not {key for key, row in rows().items() if row.get("stream_id")}
    with pytest.raises(CommandError, match="no stream named 'bonds'"):
        call_command("delete_stream", "bonds")


def test_what_was_deleted_meanwhile_is_not_there(monkeypatch):
    """A request has found the stream, and another deletes it before it has its lock."""
    ada = of("ada")
    filled(ada)
    stream = Stream.objects.get(name="bonds")
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    for late in (
        lambda: registry.retract(stream, 1, "wrong"),
        lambda: registry.change(stream, {"description": "new"}),
        lambda: registry.delete(stream),
    ):
        with pytest.raises(NotFound, match="no stream named 'bonds'"):
            late()
