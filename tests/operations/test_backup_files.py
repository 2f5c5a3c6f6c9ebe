"""Files of results are in backups, or are said not to be; one that is missing is noticed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from server.core.json_codec import dumps, loads
from server.operations.backup import values
from tests.operations.conftest import place
from tests.serving import Server

pytestmark = pytest.mark.one_database

MAKE = """
from datetime import UTC, datetime
from server.contents import contents, storage
from server.calculations.models import Attempt, Calculation, Cluster, Result, Step, StoredFile
now = datetime.now(UTC)
cluster = Cluster.objects.create(name="alpha")
one = Calculation.objects.create(name="c", program="code", asked="{}", state="done", fingerprint="f")
step = Step.objects.create(calculation=one, uid="u", name="main", number=1, program="code", parameters="{}", fingerprint="f", state="done", changed_at=now)
attempt = Attempt.objects.create(step=step, fence=1, cluster=cluster, epoch=1, claim="c", state="done", claimed_at=now)
result = Result.objects.create(attempt=attempt, state="done", accepted_at=now)
for name in ("first.png", "second.png"):
    with contents.receiving([name.encode() * 1000]) as received:
        storage.store().put(received)
    StoredFile.objects.create(result=result, name=name, size=received.size, sha256=received.sha256, stored=True)
StoredFile.objects.create(result=result, name="never-sent.png", size=1, sha256="0" * 64)
"""


class Backups(NamedTuple):
    server: Server
    first: Path
    second: Path


def contents_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def failed(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done.stdout
    return done.stderr


def ok(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def backups(tmp_path_factory) -> Iterator[Backups]:
    directory = tmp_path_factory.mktemp("files")
    with place(directory / "var", "sqlite") as server:
        ok(server.manage("migrate", "--verbosity", "0"))
        ok(server.manage("shell", "-c", MAKE))
        first, second = (directory / f"tailrace-2026-11-{day}.gz" for day in (21, 22))
        assert "2 files of results, 0.0 MB, in" in ok(server.manage("backup", str(first)))
        ok(server.manage("backup", str(second)))
        yield Backups(server, first, second)


def test_a_backup_has_a_folder_of_all_files_and_shares_those_of_the_former(backups):
    folders = [backup.with_name(f"{backup.name}.files") for backup in (backups.first, backups.second)]
    one, two = (contents_of(folder) for folder in folders)
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 2
    assert [path.stat().st_ino for path in one] == [path.stat().st_ino for path in two], "linked"
    assert folders[0].stat().st_mode & 0o077 == 0
    assert "intact" in ok(backups.server.manage("restore", "--check", str(backups.second)))


def test_a_file_that_is_missing_or_altered_in_a_backup_is_noticed(backups, tmp_path):
    backup = tmp_path / "b1.gz"
    ok(backups.server.manage("backup", str(backup)))
    one, two = contents_of(tmp_path / "b1.gz.files")
    one.unlink()
    two.write_bytes(two.read_bytes()[:-1] + b"!")
    said = failed(backups.server.manage("restore", "--check", str(backup)))
    assert "of 2 contents of files" in said
    assert "1 are missing and 1 were altered" in said


def test_files_are_restored_from_the_folder_and_those_that_are_not_are_said_to_be_missing(backups, tmp_path):
    with place(tmp_path / "var", "sqlite") as again:
        assert "files of results: 2 of 2 are in folder" in ok(again.manage("restore", str(backups.first)))
        assert "2 contents in folder" in ok(again.manage("verify_files"))
        own = contents_of(tmp_path / "var" / "files")
        assert [path.read_bytes() for path in own] == [
            path.read_bytes() for path in contents_of(Path(f"{backups.first}.files"))
        ]
        own[0].unlink()
        done = again.manage("verify_files")
        assert "1 are missing and 0 were altered" in failed(done)
        assert "png of step main of calculation 1" in done.stdout
        last = tmp_path / "b2.gz"
        assert "of 2 contents of files 1 are missing" in failed(again.manage("backup", str(last)))
        with place(tmp_path / "third", "sqlite") as third:
            assert "1 files of results are missing" in ok(third.manage("restore", str(last))), (
                "the log is restored anyway"
            )
        assert "not in this backup" in ok(again.manage("backup", str(last), "--without-files", "--keep", "1"))
        assert contents_of(tmp_path / "b2.gz.files") == []
        assert "intact" in ok(again.manage("restore", "--check", str(last)))


def test_numbers_with_a_fraction_come_back_with_all_their_bits():
    columns = [("cost", "float")]
    for value in (0.1, 2.0, -0.0, 5e-324, 1.7976931348623157e308):
        (back,) = loads(dumps(values.outward(columns)([value])))
        assert (back.hex(), float(values.for_copy(columns)([back])).hex()) == (value.hex(),) * 2


def test_old_backups_go_with_their_files(backups):
    third = backups.first.with_name("tailrace-2026-11-23.gz")
    ok(backups.server.manage("backup", str(third), "--keep", "1"))
    assert sorted(path.name for path in third.parent.glob("tailrace*")) == [third.name, f"{third.name}.files"]
    assert len(contents_of(Path(f"{third}.files"))) == 2
