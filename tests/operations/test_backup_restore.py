"""What is restored is what was backed up: into either kind of database, with everything in it, and nothing else lost."""

import fcntl
import functools
import io
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db.migrations.loader import MigrationLoader

from server.accounts.models import Token
from server.learning.models import Model, Prediction, Snapshot
from server.operations.backup import making, tables
from server.streams.models import Stream
from tests.operations.conftest import MODELS, Used, asked, place, points, sections, told
from tests.serving import PATIENCE, ROOT, Server

pytestmark = pytest.mark.database

BOTH = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgresql)]


def restored(server: Server, backup: Path) -> str:
    done = server.manage("restore", str(backup))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=BOTH)
def again(request, used: Used, tmp_path_factory) -> Iterator[Server]:
    """A server on either kind of database, into which the backup was restored."""
    with place(tmp_path_factory.mktemp("again") / "var", request.param) as server:
        restored(server, used.backup)
        yield server.start()


def test_a_restored_server_answers_bit_for_bit_as_before(used: Used, again: Server):
    assert asked(again, used.token) == used.said
    proved = again.manage("verify_model", "--all")
    assert proved.returncode == 0, proved.stdout
    assert proved.stdout.count("equal bit for bit") == len(MODELS)
    assert again.manage("verify_audit").returncode == 0


def test_records_are_left_out_and_made_again(used: Used, again: Server):
    assert not {"learning_record", "learning_recordblock"} & set(sections(used.backup.read_bytes()))
    give_up = time.monotonic() + PATIENCE
    for name in MODELS:
        path = f"/api/v1/models/{name}/record/?buckets=1"
        while again.get(path, Authorization=f"Bearer {used.token}")[1]["behind"]:
            assert time.monotonic() < give_up, f"the record of {name} is not made again"


def test_a_restored_server_tells_the_same_events_with_each_prediction_before_its_label(used: Used, again: Server):
    after = told(again, used.token)
    assert sorted(after) == sorted(used.events)
    assert [one for one in after if one[0] != "predict"] == [one for one in used.events if one[0] != "predict"]
    assert after.index(("predict", 50)) < after.index(("label", 301))


def test_a_backup_of_what_was_restored_holds_the_same_rows(used: Used, again: Server, tmp_path):
    path = tmp_path / "again.gz"
    assert again.manage("backup", str(path)).returncode == 0
    before, after = sections(used.backup.read_bytes()), sections(path.read_bytes())
    audit = after.pop("accounts_auditentry")
    assert audit[:-1] == before.pop("accounts_auditentry")
    assert "backup.restore" in audit[-1]
    assert after.pop("accounts_audithead") != before.pop("accounts_audithead")
    # What orders events, in each database in its own way; when it was last used; who works on it.
    for table, name in (
        ("streams_batch", "xid"),
        ("learning_prediction", "xid"),
        ("accounts_token", "last_used_at"),
        ("learning_model", "leased_until"),
    ):
        for row in (*before[table], *after[table]):
            del row[columns_of(table).index(name)]
    for table in ("learning_snapshot", "streams_streamsummary"):  # the server has written more
        before.pop(table), after.pop(table)
    assert after == before
    assert len(before["streams_key"]) == 302
    assert len(before["streams_stream"]) == 2


def test_a_restored_server_goes_on_where_the_other_stopped(used: Used, again: Server):
    headers = {"Authorization": f"Bearer {used.token}"}
    path = "/api/v1/streams/runs/observations/"
    known = again.post(path, {"observations": points(0, 50)}, **headers)[1]
    assert (known["duplicates"], known["first"], known["last"]) == (50, 1, 50)
    assert again.post(path, points(2000, 1)[0], **headers)[1]["first"] == 303
    assert again.post("/api/v1/predictions/waits-50/label/", {"y": 2.0}, **headers)[1]["first"] == 304
    new = {"name": "new", "target": {"name": "t"}}
    assert again.post("/api/v1/streams/", new, **headers)[0] == 201
    assert again.post("/api/v1/streams/", new, **headers)[0] == 409
    assert told(again, used.token)[-2:] == [("learn", 303), ("label", 304)]
    assert again.manage("verify_model", "--all").returncode == 0
    assert again.manage("verify_audit").returncode == 0


def test_a_backup_while_many_write_is_of_one_moment(used: Used, tmp_path):
    stop, numbers = threading.Event(), iter(range(10_000, 1_000_000, 5))
    headers = {"Authorization": f"Bearer {used.token}"}

    def write():
        while not stop.is_set():
            used.server.post(
                "/api/v1/streams/runs/observations/", {"observations": points(next(numbers), 5)}, **headers
            )

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        heads = []
        for n in range(3):
            path = tmp_path / f"{n}.gz"
            assert used.server.manage("backup", str(path)).returncode == 0
            found = sections(path.read_bytes())
            runs = next(row for row in found["streams_stream"] if "runs" in row)
            (head,) = column([runs], "streams_stream", "head")
            streams = column(found["streams_batch"], "streams_batch", "stream_id")
            batches = [row for row, stream in zip(found["streams_batch"], streams, strict=True) if stream == runs[0]]
            assert max(column(batches, "streams_batch", "last")) == head
            assert sum(column(batches, "streams_batch", "count")) == head
            assert len(found["streams_key"]) == head
            heads.append(head)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert heads == sorted(set(heads)), "nothing was written between the backups"
    with place(tmp_path / "var", "sqlite") as server:
        restored(server, path)
        assert server.manage("verify_model", "--all").returncode == 0


def applied_in_code() -> tables.Migrations:
    """All migrations of this version, by app."""
    found: tables.Migrations = {}
    for app, name in sorted(MigrationLoader(None).graph.nodes):
        found.setdefault(app, []).append(name)
    return found


@functools.cache
def columns_of(table: str) -> tuple[str, ...]:
    """The columns of a table in a backup."""
    (found,) = (one for one in tables.at(applied_in_code()) if one.name == table)
    return found.names


def column(rows: list[list[Any]], table: str, name: str) -> list[Any]:
    """One column of a table's rows."""
    index = columns_of(table).index(name)
    return [row[index] for row in rows]


@pytest.mark.one_database
def test_a_backup_goes_to_standard_output_and_comes_from_standard_input(used: Used, tmp_path):
    server = used.server
    done = subprocess.run(
        [sys.executable, "manage.py", "backup", "-"], cwd=ROOT, env=server.environment, capture_output=True, check=True
    )
    assert len(sections(done.stdout)["streams_stream"]) == 2
    with place(tmp_path / "var", "sqlite") as other:
        read = subprocess.run(
            [sys.executable, "manage.py", "restore", "-"],
            cwd=ROOT, env=other.environment, input=done.stdout, capture_output=True, check=False,
        )  # fmt: skip
        assert read.returncode == 0, read.stderr
        assert other.manage("verify_model", "--all").returncode == 0


def test_a_restore_that_is_killed_leaves_nothing_and_can_be_run_again(used: Used, kind, tmp_path):
    with place(tmp_path / "var", kind) as server:
        content = used.backup.read_bytes()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "restore", "-"],
            cwd=ROOT, env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.set_blocking(process.stdin.fileno(), True)
        process.stdin.write(content[:-1])
        process.stdin.flush()
        until_it_waits_for_more(process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert "the database can't be used" in server.manage("verify_model", "--all").stderr, "there are no tables"
        restored(server, used.backup)
        assert server.manage("verify_model", "--all").returncode == 0


def until_it_waits_for_more(process: subprocess.Popen) -> None:
    """Wait until the process has read all of its standard input, and sleeps in the read of more."""
    gone = threading.Event()
    for _ in range(600):
        unread = int.from_bytes(fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, b"\0" * 4), "little")
        if not unread and "pipe_read" in Path(f"/proc/{process.pid}/wchan").read_text():
            return
        assert process.poll() is None, process.stdout.read()
        gone.wait(0.05)
    raise AssertionError("it doesn't read on")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", BOTH)
def test_every_kind_of_column_comes_back_as_it_was(target, tmp_path):
    odd = "tab\t newline\n return\r backslash \\ \\N \\. quote \" ' Å 漢 🜁 \x7f"
    user = User.objects.create(username="odd", first_name=odd, is_active=False, last_login=None)
    user.groups.add(Group.objects.get(name="viewer"))
    stream = Stream.objects.create(name="s", description=odd, features={"b": "number", "a\\": odd}, head=2**62)
    model = Model.objects.create(
        name="m", stream=stream, flavor="custom", initial=bytes(range(256)), parameters={"f": 0.1}
    )
    Snapshot.objects.create(model=model, generation=1, seq=1, state=b"", versions="")
    now = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    Prediction.objects.create(
        identifier=odd, model=model, stream=stream, x=odd, prediction="", at=-1, made_at=now, expires_at=now
    )
    first = Token.objects.create(owner=user, name=odd, hash="h", scopes=["read"], streams=None)
    Token.objects.create(owner=user, name="", hash="i", scopes=[], streams=[], replaces=first)
    gone = Stream.objects.create(name="gone")
    number = gone.pk
    gone.delete()
    whole, again = io.BytesIO(), tmp_path / "again.gz"
    with making.snapshot_connection() as reading:
        making.write(reading, whole)
    with place(tmp_path / "var", target) as server:
        path = tmp_path / "odd.gz"
        path.write_bytes(whole.getvalue())
        restored(server, path)
        assert server.manage("backup", str(again)).returncode == 0
        before, after = sections(whole.getvalue()), sections(again.read_bytes())
        for table in (
            "auth_user",
            "auth_user_groups",
            "streams_stream",
            "learning_model",
            "learning_snapshot",
            "accounts_token",
        ):
            assert after[table] == before[table]
            assert before[table]
        for name in ("identifier", "x", "prediction", "made_at"):
            table = "learning_prediction"
            assert column(after[table], table, name) == column(before[table], table, name)
        made = server.manage(
            "shell", "-c", "from server.streams.models import Stream; print(Stream.objects.create(name='new').pk)"
        )
        assert int(made.stdout.split()[-1]) > number, "a number was given twice"


@pytest.mark.one_database
def test_every_table_is_in_a_backup_or_left_out_for_a_reason():
    found = {table.name: table.kept for table in tables.at(applied_in_code())}
    expected = {model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed}
    assert set(found) == expected
    assert {name for name, kept in found.items() if not kept} <= set(tables.LEFT_OUT)
