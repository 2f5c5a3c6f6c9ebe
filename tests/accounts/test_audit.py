"""The audit trail itself: written with the change, in a chain that shows what was taken out or altered."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from server.accounts import audit, tokens
from server.accounts.models import AuditEntry, AuditHead, SignIn
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Unavailable
from server.streams import registry as streams
from tests.people import person

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def tell(*targets: Any) -> None:
    for target in targets:
        with transaction_for_writing():
            audit_signals.send("test.done", str(target), before={"n": 1}, after={"n": 2, "ü": [None, 0.5]})


@contextmanager
def past_the_triggers() -> Iterator[Any]:
    """As somebody with the database in their hands."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_no_%%'")
            triggers = cursor.fetchall()
        off, on = [f"DROP TRIGGER {name}" for name, _ in triggers], [sql for _, sql in triggers]
    else:
        off = ["ALTER TABLE accounts_auditentry DISABLE TRIGGER audit_no_change"]
        on = ["ALTER TABLE accounts_auditentry ENABLE TRIGGER audit_no_change"]
    with connection.cursor() as cursor:
        for statement in off:
            cursor.execute(statement)
        try:
            yield cursor
        finally:
            for statement in on:
                cursor.execute(statement)


def test_a_change_and_its_entry_are_there_together_or_not_at_all(monkeypatch):
    streams.create("s")
    assert list(AuditEntry.objects.values_list("action", "target")) == [("stream.create", "s")]

    def full(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="disk full"):
        patch.setattr(AuditEntry, "save", full)
        streams.create("t")
    assert not streams.Stream.objects.filter(name="t").exists()

    with pytest.raises(ZeroDivisionError), transaction_for_writing():
        audit_signals.send("test.done", "never")
        raise ZeroDivisionError
    assert AuditEntry.objects.count() == 1
    assert list(audit.verify()) == []


def test_what_no_request_did_was_done_on_the_command_line():
    tell("x")
    entry = AuditEntry.objects.get()
    assert (entry.username, entry.user_id, entry.token_id, entry.address) == (audit.COMMAND, None, None, "")


def test_an_entry_holds_no_secret():
    token, secret = tokens.create(person("ada"), "laptop")
    tokens.revoke(token)
    stored = str(list(AuditEntry.objects.values_list()))
    assert "laptop" in stored
    assert secret.removeprefix("trc_") not in stored
    assert tokens.hash_of(secret) not in stored


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET target = 'y'",
        "UPDATE accounts_auditentry SET hash = hash WHERE number = 1",
        "DELETE FROM accounts_auditentry",
        "DELETE FROM accounts_auditentry WHERE number = 2",
    ],
)
def test_the_database_refuses_to_change_or_delete_an_entry(statement):
    tell("a", "b")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    for change in (
        lambda: AuditEntry.objects.update(username="eve"),
        lambda: AuditEntry.objects.all().delete(),
        lambda: AuditEntry.objects.first().delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    assert list(audit.verify()) == []
    assert AuditEntry.objects.count() == 2


COLUMNS = ", ".join(field.column for field in AuditEntry._meta.fields)
REPLACED = {
    "sqlite": [
        f"INSERT OR REPLACE INTO accounts_auditentry SELECT {COLUMNS} FROM accounts_auditentry WHERE number = 1",
        f"REPLACE INTO accounts_auditentry SELECT {COLUMNS.replace('id,', '99,', 1)} FROM accounts_auditentry WHERE number = 1",
        f"REPLACE INTO accounts_auditentry SELECT {COLUMNS.replace('number', '99')} FROM accounts_auditentry WHERE number = 1",
        "UPDATE OR REPLACE accounts_auditentry SET number = 2 WHERE number = 1",
        f"INSERT OR IGNORE INTO accounts_auditentry SELECT {COLUMNS} FROM accounts_auditentry WHERE number = 1",
    ],
    "postgresql": ["TRUNCATE accounts_auditentry", "TRUNCATE accounts_auditentry CASCADE"],
}
UPSERT = (
    f"INSERT INTO accounts_auditentry ({COLUMNS}) SELECT {COLUMNS} FROM accounts_auditentry WHERE number = 1 "
    "ON CONFLICT (number) DO UPDATE SET target = 'y'"
)


def test_the_database_refuses_to_replace_an_entry():
    tell("a", "b")
    before = list(AuditEntry.objects.values_list())
    for statement in (*REPLACED[connection.vendor], UPSERT):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert list(AuditEntry.objects.values_list()) == before
    tell("c")
    assert list(audit.verify()) == []


REPLACED_ROWS = {
    "sqlite": [
        "REPLACE INTO accounts_token SELECT * FROM accounts_token",
        "REPLACE INTO auth_user SELECT * FROM auth_user",
        "REPLACE INTO accounts_signin SELECT * FROM accounts_signin",
    ],
    "postgresql": ["TRUNCATE accounts_token CASCADE", "TRUNCATE auth_user_groups", "TRUNCATE accounts_signin"],
}


def test_rows_that_are_replaced_count_as_a_change_to_what_callers_may_do():
    ada = person("ada")
    tokens.create(ada, "laptop")
    SignIn.objects.create(user=ada, hash="h", expires_at=datetime.now(UTC))
    for statement in REPLACED_ROWS[connection.vendor]:
        generation = streams.generation()
        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert streams.generation() != generation, statement


def test_a_new_token_or_sign_in_is_no_change_to_what_callers_may_do():
    """What every process remembers of callers would be read anew at each."""
    ada = person("ada")
    generation = streams.generation()
    tokens.create(ada, "laptop")
    SignIn.objects.create(user=ada, hash="h", expires_at=datetime.now(UTC))
    assert streams.generation() == generation


@pytest.mark.parametrize("column", [name for name in audit.HASHED if name not in ("number", "previous")])
def test_an_entry_that_was_altered_is_found(column):
    tell("a", "b", "c")
    with past_the_triggers() as cursor:
        value = 7 if column in ("user_id", "token_id") else "x"
        cursor.execute(f"UPDATE accounts_auditentry SET {column} = %s WHERE number = 2", [value])
    (found,) = audit.verify()
    assert "entry 2 was altered" in found


def test_a_number_that_was_altered_is_found():
    tell("a", "b", "c")
    with past_the_triggers() as cursor:
        cursor.execute("UPDATE accounts_auditentry SET number = 9 WHERE number = 2")
    assert audit_says("entries 2 to 2 are missing", "entries 4 to 8 are missing", "entry 9 was altered")


def audit_says(*words: str) -> bool:
    found = "\n".join(audit.verify())
    return all(word in found for word in words)


@pytest.mark.parametrize(
    "gone, words",
    [
        ([1], "entries 1 to 1 are missing"),
        ([2, 3], "entries 2 to 3 are missing"),
        ([4], "the trail ends with entry 3, but the last one written is entry 4 with hash"),
        ([1, 2, 3, 4], "the trail ends with entry 0, but the last one written is entry 4 with hash"),
    ],
)
def test_entries_that_were_taken_out_are_missed(gone, words):
    tell("a", "b", "c", "d")
    with past_the_triggers() as cursor:
        for number in gone:
            cursor.execute("DELETE FROM accounts_auditentry WHERE number = %s", [number])
    assert audit_says(words)


def test_entries_that_were_made_up_are_found():
    tell("a", "b")
    last = AuditEntry.objects.get(number=2)
    last.pk, last.number, last.previous = None, 3, last.hash
    last.hash = audit.hash_of(last)
    last.save(force_insert=True)  # a chain as it should be, but for the head
    assert audit_says("the trail ends with entry 3, but the last one written is entry 2 with hash")


def test_an_entry_that_was_exchanged_with_its_hash_breaks_the_chain():
    tell("a", "b", "c")
    other = AuditEntry.objects.get(number=2)
    other.target = "forged"
    with past_the_triggers() as cursor:
        cursor.execute(
            "UPDATE accounts_auditentry SET target = 'forged', hash = %s WHERE number = 2", [audit.hash_of(other)]
        )
    assert audit_says("entry 3 doesn't match the previous entry: one of them was replaced")


def test_a_head_that_is_gone_is_missed():
    tell("a")
    AuditHead.objects.all().delete()
    assert audit_says("the trail ends with entry 1, but the last one written is nothing")


def test_what_is_written_while_it_is_verified_is_no_fault(monkeypatch):
    tell("a", "b")
    plain, left = audit.hash_of, ["c", "d", "e"]

    def slowly(entry: AuditEntry) -> str:
        if left and entry.pk is not None:  # one that is verified, not one that is written
            tell(left.pop())
        return plain(entry)

    monkeypatch.setattr(audit, "hash_of", slowly)
    assert list(audit.verify()) == []
    assert AuditEntry.objects.count() == 5


def test_the_command_says_that_it_is_whole_and_what_to_keep(capsys):
    AuditHead.objects.get_or_create(pk=1)  # as the migration leaves it; between tests all tables are emptied
    call_command("verify_audit")
    assert capsys.readouterr().out == "The audit trail is intact: 0 entries.\n"
    tell("a", "b")
    call_command("verify_audit")
    last = AuditEntry.objects.get(number=2).hash
    assert f"intact: 2 entries, the last with hash {last}." in capsys.readouterr().out


def test_the_command_fails_with_what_is_wrong():
    tell("a", "b", "c")
    with past_the_triggers() as cursor:
        cursor.execute("DELETE FROM accounts_auditentry WHERE number = 2")
    with pytest.raises(CommandError, match="not intact:\n  entries 2 to 2 are missing"):
        call_command("verify_audit")
