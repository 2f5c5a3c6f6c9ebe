"""A stream goes with all that depends on it where its name confirms that, and nothing else ever goes."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from server.accounts import audit
from server.accounts.models import AuditEntry
from server.cells.deletion import ROWS_OF_DATABASE
from server.cells.models import Cell
from server.core.db import batched_deletion
from server.core.errors import NotFound
from server.core.json_codec import dumps
from server.learning.deletion import ROWS_OF_MODEL
from server.learning.models import Model, Prediction, Snapshot
from server.learning.quota_counts import PREDICTIONS
from server.operations.recount import recount
from server.streams import deletion, registry
from server.streams.models import Batch, Stream
from tests.api_client import Api, refused
from tests.cell_examples import Bonds, bond, new_cell
from tests.people import bearer, person, secret_of

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

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
    ada = of("ada")
    before = rows()
    error = refused(ada.delete(f"{STREAM}?confirm=bonds"), 403)
    after = rows()
    assert {key for key, row in before.items() if after.pop(key) != row} <= {key for key in before if "token" in key[0]}
    assert after == {}
    assert f"{what} eves has another owner" in error["message"]
    assert of("ada").ok(STREAM)["counts"]["models"] == 2 + (what == "model")


def test_its_name_is_free_again_and_begins_anew():
    ada = of("ada")
    filled(ada)
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    refused(ada.delete(f"{STREAM}?confirm=bonds"), 404, "stream")
    receipt = ada.learn({"a": 1}, 2.0, stream="bonds", key="k")
    assert (receipt["first"], receipt["duplicates"]) == (1, 0)
    ada.model("tree", "bonds", "mean")


@pytest.mark.parametrize("much", ["observations", "models", "databases", "log", "characters", "cells", "snapshots"])
def test_a_long_one_is_left_to_the_operator(much, monkeypatch, capsys):
    ada = of("ada")
    filled(ada)
    limits = {"observations": 0, "models": 2 * ROWS_OF_MODEL, "databases": 2 * ROWS_OF_MODEL + ROWS_OF_DATABASE}
    monkeypatch.setattr(deletion, "MAX_ROWS", limits.get(much, 10**6))
    monkeypatch.setattr(deletion, "MAX_BYTES", {"log": 100}.get(much, 100_000))
    if much == "characters":  # 40,000, of three bytes each
        Batch.objects.filter(stream__name="bonds", last=5).update(notes=dumps({"0": "結" * 40_000}).decode())
    if much == "cells":
        Cell.objects.filter(name="failed").update(structure="x" * 60_000)
    if much == "snapshots":
        snapshots = [Snapshot(model=model, generation=9, seq=9, state=b"x" * 60_000) for model in Model.objects.all()]
        Snapshot.objects.bulk_create(snapshots)
    before = rows()
    error = refused(ada.delete(f"{STREAM}?confirm=bonds"), 409, "confirm", "too_long")
    assert "delete its models first, if it has many or large ones" in error["message"]
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


def test_failed_cells_alone_may_be_too_many(monkeypatch):
    ada = of("ada")
    ada.stream("bonds")
    failed = {name: value for name, value in new_cell("failed").items() if name not in ("observations", "descriptor")}
    ada.ok(Bonds.CELLS, {**failed, "status": "failed", "reason": "not converged"}, 201)
    monkeypatch.setattr(deletion, "MAX_BYTES", 100)
    refused(ada.delete(STREAM), 409, "confirm", "too_long")
    monkeypatch.setattr(deletion, "MAX_BYTES", 100_000)
    assert ada.delete(STREAM).status_code == 204


def test_many_kept_predictions_go_before_it_and_others_write_in_between(monkeypatch):
    ada = of("ada")
    filled(ada)
    for number in range(6):
        question = {"x": bond("Zr-Cu", 2.6)["x"], "identifier": f"waits{number}"}
        ada.ok(f"/api/v1/models/{('tree', 'other')[number % 2]}/predict/", question)
    left = []

    def others_write(seconds: float) -> None:
        assert not connection.in_atomic_block
        left.append((Prediction.objects.count(), ada.ok(STREAM)["head"]))

    monkeypatch.setattr(batched_deletion, "MAX_ROWS", 2)
    monkeypatch.setattr(batched_deletion.time, "sleep", others_write)
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    assert left == [(5, 5), (3, 5), (1, 5)]
    assert not Prediction.objects.exists()
    PREDICTIONS.give_back(idle=0)
    assert recount() == []


def test_what_is_large_is_measured_where_it_is():
    """The database says how long estimators and structures are: none of them is read into the process."""
    ada = of("ada")
    filled(ada)
    with CaptureQueriesContext(connection) as asked:
        assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    large = re.compile(
        r'(?<!LENGTH\()(?<!CAST\()"(?:learning_model"."initial|cells_cell"."structure|learning_snapshot"."state)"'
    )
    assert len(asked) > 10
    assert [query["sql"] for query in asked if large.search(query["sql"])] == []


def test_what_depends_on_it_is_found_by_an_index():
    """Otherwise its deletion reads all that others have in that table, while nobody can write."""
    missing = []
    for table in apps.get_models():
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, table._meta.db_table)
        begins = {one["columns"][0] for one in found.values() if one["columns"] and (one["index"] or one["unique"])}
        begins |= {one["columns"][0] for one in found.values() if one["primary_key"]}
        depend = [field for field in table._meta.concrete_fields if field.related_model in (Stream, Model)]
        missing += [str(field) for field in depend if field.column not in begins]
    assert missing == []


def test_what_was_deleted_meanwhile_is_not_there(monkeypatch):
    """A request has found the stream, and another deletes it before it has its lock."""
    ada = of("ada")
    filled(ada)
    stream = Stream.objects.get(name="bonds")
    assert ada.delete(f"{STREAM}?confirm=bonds").status_code == 204
    for late in (
        lambda: registry.retract(stream, 1, "wrong"),
        lambda: registry.change(stream, {"description": "new"}),
        lambda: deletion.delete(stream),
    ):
        with pytest.raises(NotFound, match="no stream named 'bonds'"):
            late()
