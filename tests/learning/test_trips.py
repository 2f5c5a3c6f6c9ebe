"""A learn in two trips to PostgreSQL: what it asks for, and connections that a pooler shares."""

import contextlib

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from river import linear_model

from server.core.db import learn_statements, prepared_statements
from server.core.errors import Unavailable
from server.learning import registry as models
from server.learning.write_path import learn_points
from server.streams import log, registry
from server.streams.models import Batch, Key
from server.streams.points import Note, Point

pytestmark = [pytest.mark.database, pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _as_new(monkeypatch):
    monkeypatch.setattr(prepared_statements.Pooler, "found", False)
    connection.close()


@pytest.fixture
def stream():
    made = registry.create("s", target_name="t", target_unit="s")
    models.create("m", "s", "regression", linear_model.LinearRegression())
    return made


def learn(stream, n, key=None):
    note = Note(key=key or f"k{n}")
    return learn_points.learn(stream.pk, [Point({"a": n}, 2.0 * n, note)])


def stored():
    return sorted(Batch.objects.values_list("last", flat=True)), sorted(Key.objects.values_list("key", "seq"))


EXPECTED = [1, 2], [("k:k1", 1), ("k:k2", 2)]


@pytest.fixture
def sent(monkeypatch):
    """What was sent, a trip each."""
    said = []
    send = prepared_statements.send

    def listen(held, what, before=(), after=()):
        said.append([*before, *(statement for statement, _ in what), *after])
        return send(held, what, before, after)

    monkeypatch.setattr(prepared_statements, "send", listen)
    return said


def test_a_learn_is_two_trips(stream, sent):
    learn(stream, 1)
    sent.clear()
    with CaptureQueriesContext(connection) as others:
        learn(stream, 2)
    assert {query["sql"] for query in others} == {"BEGIN", "COMMIT"}  # as Django notes them: its driver sends neither
    assert sent == [
        ["BEGIN", learn_statements.LOCK_STREAM, learn_statements.SELECT_HEAD_AND_KEYS],
        [learn_statements.INSERT_BATCH, learn_statements.INSERT_KEYS, learn_statements.UPDATE_HEAD, "COMMIT"],
    ]
    assert stored() == EXPECTED


def test_a_duplicate_is_one_trip_and_its_end(stream, sent):
    learn(stream, 1)
    learn(stream, 2)
    sent.clear()
    assert learn(stream, 2).duplicates == 1
    assert sent == [["BEGIN", learn_statements.LOCK_STREAM, learn_statements.SELECT_HEAD_AND_KEYS], ["COMMIT"]]
    assert stored() == EXPECTED


def test_statements_that_a_pooler_mislaid_are_said_in_full(stream):
    learn(stream, 1)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")  # as on another connection
    learn(stream, 2)
    assert prepared_statements.Pooler.found
    assert stored() == EXPECTED
    assert learn(stream, 2).duplicates == 1


def test_a_statement_that_another_prepared_on_a_shared_connection_costs_one_repetition(stream):
    with connection.cursor() as cursor:
        cursor.execute(learn_statements.INSERT_BATCH.prepare)
    with pytest.raises(Unavailable, match="already exists"):  # in the midst of a transaction
        learn(stream, 1)
    assert prepared_statements.Pooler.found
    assert stored() == ([], [])
    learn(stream, 1)
    learn(stream, 2)
    assert stored() == EXPECTED


def test_a_row_is_read_though_its_statement_was_mislaid(stream):
    assert registry.position("s")[0] == stream.pk
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert registry.position("s")[0] == stream.pk
    assert prepared_statements.Pooler.found


def test_a_connection_that_ends_in_between_stores_nothing(stream, monkeypatch):
    learn(stream, 1)
    append = log.append

    def cut_off(*arguments, **options):
        with pytest.raises(Exception, match="terminat"), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        append(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(log, "append", cut_off)
        learn(stream, 2)
    assert stored() == ([1], [("k:k1", 1)])
    learn(stream, 2)
    assert stored() == EXPECTED


def test_what_fails_at_its_end_stores_nothing(stream):
    """A row that is there already: the trip that would commit doesn't."""
    learn(stream, 1)
    Batch.objects.create(stream=stream, last=2, count=1, at=log.moment("2026-11-21T00:00:00+00:00"), xs="[]", ys="[]")
    with pytest.raises(Exception, match="batch_stream_last"):
        learn(stream, 2)
    Batch.objects.filter(last=2).delete()
    assert stored() == ([1], [("k:k1", 1)])
    learn(stream, 2)
    assert stored() == EXPECTED


def test_an_error_that_somebody_swallows_is_no_commit(stream):
    """PostgreSQL answers a COMMIT after it with ROLLBACK, and no error: what was acknowledged then would be lost."""
    failing = prepared_statements.Statement("SELECT 1 / %s::int", unprepared=True)
    with pytest.raises(Unavailable, match="failed before the commit"), learn_statements.transaction():
        learn_statements.execute(prepared_statements.BoundStatement(learn_statements.UPDATE_HEAD, (7, stream.pk)))
        with contextlib.suppress(DatabaseError):
            learn_statements.execute(prepared_statements.BoundStatement(failing, (0,)))
    assert registry.position("s")[1] == 0
    learn(stream, 1)
    learn(stream, 2)
    assert stored() == EXPECTED
