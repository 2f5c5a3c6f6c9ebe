"""Whatever goes wrong with a backup is found and said, and nothing is left of it."""

import gzip
import hashlib
import io
import os
import random
import resource
import stat
import subprocess
import sys

import pytest

from server.operations.backup import container, files
from server.operations.backup.errors import BackupError, Damaged, Newer
from tests.operations.conftest import Used, place, sections
from tests.serving import ROOT

pytestmark = pytest.mark.database

COLUMNS = [("id", "integer"), ("text", "text")]


def written(header: dict | None = None, rows: int = 50) -> bytes:
    """A small backup."""
    file = io.BytesIO()
    rng = random.Random(1)
    writer = container.Writer(file, header or {"tailrace": "0.1.0", "made_at": "2026-11-21T00:00:00+00:00"})
    for table in ("one", "two"):
        writer.begin(table, COLUMNS)
        writer.rows([[n, str(rng.random())] for n in range(rows)])
        writer.end()
    writer.finish()
    return file.getvalue()


def read(content: bytes) -> dict:
    return sections(content)


@pytest.mark.one_database
def test_a_whole_backup_is_read_as_it_was_written_and_by_gunzip_too():
    content = written()
    assert [len(rows) for rows in read(content).values()] == [50, 50]
    container.check(io.BytesIO(content))
    assert gzip.decompress(content).count(b"\n") == 1 + 2 * 52 + 2


@pytest.mark.one_database
def test_a_byte_that_was_altered_is_found_wherever_it_is():
    content = written()
    for place_ in range(len(content)):
        altered = bytearray(content)
        altered[place_] ^= 0x20
        with pytest.raises(BackupError):
            container.check(io.BytesIO(bytes(altered)))
        with pytest.raises(BackupError):
            read(bytes(altered))


@pytest.mark.one_database
def test_a_backup_that_was_cut_short_or_added_to_is_found_wherever_it_ends():
    content = written()
    for length in range(len(content)):
        with pytest.raises(BackupError):
            container.check(io.BytesIO(content[:length]))
        with pytest.raises(BackupError):
            read(content[:length])
    for more in (b"\0", b"\n", content):
        with pytest.raises(Damaged):
            container.check(io.BytesIO(content + more))
        with pytest.raises(Damaged):
            read(content + more)


@pytest.mark.one_database
def test_a_table_that_was_exchanged_is_found_though_the_file_has_a_new_checksum():
    lines = gzip.decompress(written()).splitlines(keepends=True)
    lines[5] = lines[6]
    forged = gzip.compress(b"".join(lines[:-1]))
    forged += container._trailer(hashlib.sha256(forged).hexdigest())
    container.check(io.BytesIO(forged))
    with pytest.raises(Damaged, match="table one doesn't match its checksum"):
        read(forged)


@pytest.mark.one_database
def test_a_format_of_a_newer_version_is_refused_and_named(monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(container, "VERSION", 2)
        content = written({"tailrace": "9.1.0"})
    with pytest.raises(Newer, match=r"format 2, of Tailrace 9\.1\.0"):
        read(content)


@pytest.mark.one_database
def test_a_process_that_is_killed_leaves_no_file_under_the_name_and_the_next_one_goes_through(tmp_path):
    path = tmp_path / "tailrace-2026-11-21.gz"
    script = (
        "import django, pathlib, sys; django.setup()\n"
        "from server.operations.backup import files\n"
        "with files.written(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "server.settings"},
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(BackupError, match="another backup is being written"), files.written(path):
        pass
    process.kill()
    process.communicate()
    assert os.listdir(tmp_path) == [path.name + files.PART]
    with files.written(path) as file:
        file.write(written())
    assert os.listdir(tmp_path) == [path.name]
    assert read(path.read_bytes())


@pytest.mark.one_database
def test_what_goes_wrong_while_a_file_is_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "b.gz"
    path.write_bytes(written())
    with pytest.raises(OSError, match="full"), files.written(path) as file:
        file.write(b"half")
        raise OSError("full")
    assert os.listdir(tmp_path) == ["b.gz"]
    assert path.read_bytes() == written()


@pytest.mark.one_database
def test_old_backups_are_pruned_and_nothing_else_is(tmp_path):
    for day in range(1, 8):
        header = {"tailrace": "0.1.0", "made_at": f"2026-11-{day:02}T00:00:00+00:00"}
        (tmp_path / f"tailrace-2026-11-{day:02}.gz").write_bytes(written(header))
    others = ["tailrace-2026-11-01.gz.note", "other-2026-11-01.gz", "tailrace-2026-10-01.gz"]
    for name in others:  # the last has the name of a backup, and is none
        (tmp_path / name).write_text("mine")
    (tmp_path / "tailrace-2026-10-30.gz.part").write_bytes(b"half of one")
    gone = files.prune(tmp_path / "tailrace-2026-11-07.gz", 2)
    kept = {"tailrace-2026-11-06.gz", "tailrace-2026-11-07.gz", *others}
    assert set(os.listdir(tmp_path)) == kept
    assert len(gone) == 6


@pytest.mark.one_database
def test_a_backup_is_for_its_owners_eyes_and_replaces_only_a_backup(used: Used, tmp_path):
    assert stat.S_IMODE(used.backup.stat().st_mode) == 0o600
    other = tmp_path / "data"
    other.write_text("not a backup")
    done = used.server.manage("backup", str(other))
    assert done.returncode == 1
    assert "it is not a backup of Tailrace" in done.stderr
    assert other.read_text() == "not a backup"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "why"), [("/sys/tailrace.gz", "Permission denied"), ("/nowhere/tailrace.gz", "No such file or directory")]
)
def test_a_target_without_rights_is_named(used: Used, name, why):
    done = used.server.manage("backup", name)
    assert done.returncode == 1
    assert why in done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.one_database
def test_a_target_without_room_is_named_and_left_as_it_was(used: Used, tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "backup", str(tmp_path / "b.gz")],
        cwd=ROOT, env=used.server.environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "File too large; no backup was made" in done.stderr
    assert os.listdir(tmp_path) == []
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "manage.py", "backup", "-"],
            cwd=ROOT, env=used.server.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device; no backup was made" in done.stderr


def test_a_database_that_is_not_empty_is_left_as_it_is(used: Used):
    path = "/api/v1/streams/"
    before = used.server.get(path, Authorization=f"Bearer {used.token}")
    done = used.server.manage("restore", str(used.backup))
    assert done.returncode == 1
    assert "not restored, and nothing was changed" in done.stderr
    assert used.server.get(path, Authorization=f"Bearer {used.token}") == before


def test_a_damaged_backup_changes_nothing_and_a_good_one_goes_in_afterwards(used: Used, kind, tmp_path):
    content = bytearray(used.backup.read_bytes())
    content[len(content) // 2] ^= 1
    with place(tmp_path / "var", kind) as server:
        for name, bad, why in (
            ("altered", bytes(content), "it was altered: its checksum is wrong"),
            ("short", bytes(content[:-100]), "it is truncated"),
            ("none", b"PK\x03\x04 something else", "it is not a backup of Tailrace"),
        ):
            path = tmp_path / name
            path.write_bytes(bad)
            done = server.manage("restore", str(path))
            assert done.returncode == 1
            assert why in done.stderr
        # From standard input it is read once: what is wrong shows when half of it is in the database.
        through = subprocess.run(
            [sys.executable, "manage.py", "restore", "-"],
            cwd=ROOT, env=server.environment, input=bytes(content), capture_output=True, check=False,
        )  # fmt: skip
        assert through.returncode == 1
        assert b"nothing was changed" in through.stderr
        assert server.manage("restore", str(used.backup)).returncode == 0


def test_a_backup_of_a_newer_version_is_refused_by_name(used: Used, kind, tmp_path):
    header = dict(container.Reader(io.BytesIO(used.backup.read_bytes())).header)
    header["migrations"]["streams"].append("9999_of_the_future")
    path = tmp_path / "newer.gz"
    path.write_bytes(written({**header, "tailrace": "9.1.0"}))
    with place(tmp_path / "var", kind) as server:
        done = server.manage("restore", str(path))
    assert done.returncode == 1
    assert (
        "made by a newer version, Tailrace 9.1.0; this version doesn't know streams.9999_of_the_future" in done.stderr
    )


@pytest.mark.one_database
def test_a_database_that_isnt_there_is_not_made(tmp_path):
    with place(tmp_path / "var", "sqlite") as server:
        done = server.manage("backup", str(tmp_path / "b.gz"))
        assert done.returncode == 1
        assert "there is no database to back up" in done.stderr
        assert not list(tmp_path.glob("var/*.sqlite3*"))


@pytest.mark.one_database
def test_a_server_keeps_a_restore_from_its_sqlite_database(used: Used, tmp_path):
    with place(tmp_path / "var", "sqlite") as server:
        server.start()
        done = server.manage("restore", str(used.backup))
        assert done.returncode == 1
        assert "uses the SQLite database" in done.stderr
