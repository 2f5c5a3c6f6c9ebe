"""Contents that no result names are cleaned up, and nothing that is needed."""

import os
import time
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command

from server.calculations import cleaning
from server.calculations.models import Removal
from server.contents import contents, storage
from server.core.errors import Conflict
from tests.api_client import refused
from tests.calculations.agents import declared

pytestmark = pytest.mark.django_db


def stored(content: bytes, age_hours: float = 48) -> contents.Received:
    with contents.receiving([content]) as received:
        storage.store().put(received)
    path = contents.folder() / contents.place(received.sha256)
    os.utime(path, (time.time() - age_hours * 3600,) * 2)
    return received


def is_there(received: contents.Received) -> bool:
    return storage.store().size(received.sha256) == received.size


def settled(agent, submit, content: bytes):
    submit(again=True)
    (work,) = agent.claim(1)
    agent.permit(work)
    return work, agent.results(work, files=[declared("a.png", content)])


def sent(agent, work, content: bytes):
    return agent.put(f"steps/{work['step']}/files/a.png?fence=1", content)


def command(*arguments: str) -> str:
    written = StringIO()
    call_command("clean_files", *arguments, stdout=written)
    return written.getvalue()


def test_what_nobody_needs_is_shown_first_and_then_deleted(agent, submit):
    work, _ = settled(agent, submit, b"needed")
    assert sent(agent, work, b"needed").status_code == 200
    needed = stored(b"needed")
    declared_alone = stored(b"declared, on its way again")
    settled(agent, submit, b"declared, on its way again")
    old, young = stored(b"old" * 1000), stored(b"young", age_hours=23)
    left_behind, on_its_way = contents.folder() / ".new-old", contents.folder() / ".new-now"
    other = contents.folder() / "ab" / "notes.txt"
    other.parent.mkdir()
    for path in (left_behind, on_its_way, other):
        path.write_bytes(b"x")
    os.utime(left_behind, (0, 0))
    os.utime(other, (0, 0))
    assert command().startswith(
        "1 contents, 0.0 MB, that nothing names, and 1 incomplete files would be deleted in folder"
    )
    assert is_there(old)
    assert left_behind.exists()
    assert "1 incomplete files were deleted" in command("--yes")
    assert [is_there(one) for one in (needed, declared_alone, young, old)] == [True, True, True, False]
    assert [path.exists() for path in (left_behind, on_its_way, other)] == [False, True, True]
    assert command("--yes", "--older-than", "0").startswith("1 contents"), "the young one"
    assert not Removal.objects.exists()


def test_a_result_that_declares_a_content_while_it_is_looked_up_keeps_it(agent, submit, monkeypatch):
    received = stored(b"again")
    named, works = cleaning._named, []

    def declares_before_the_second_look(names):
        if Removal.objects.exists():
            works.append(settled(agent, submit, b"again")[0])
            refused(sent(agent, works[0], b"again"), 503)
        return named(names)

    monkeypatch.setattr(cleaning, "_named", declares_before_the_second_look)
    assert cleaning.clean().contents == 0
    assert len(works) == 1
    assert is_there(received)
    assert sent(agent, works[0], b"again").status_code == 200


def test_a_content_that_is_sent_while_it_is_deleted_is_sent_again_and_stays(agent, submit, monkeypatch):
    received = stored(b"again")
    delete, works = contents.Folder.delete, []

    def declares_before(self, sha256):
        works.append(settled(agent, submit, b"again"))
        refused(sent(agent, works[0][0], b"again"), 503)
        delete(self, sha256)

    monkeypatch.setattr(contents.Folder, "delete", declares_before)
    assert cleaning.clean().contents == 1
    work, answer = works[0]
    assert answer["missing"] == [received.sha256]
    assert sent(agent, work, b"again").status_code == 200
    assert is_there(received)


def test_a_mark_of_a_process_that_died_is_void_after_a_while(agent, submit):
    received = declared("", b"x")["sha256"]
    Removal.objects.create(sha256=received, at=datetime.now(UTC))
    work, _ = settled(agent, submit, b"x")
    refused(sent(agent, work, b"x"), 503)
    Removal.objects.update(at=datetime(2026, 1, 1, tzinfo=UTC))
    assert sent(agent, work, b"x").status_code == 200
    cleaning.clean()
    assert not Removal.objects.exists()


@pytest.mark.one_database
def test_nothing_is_cleaned_up_during_a_backup_and_once_a_night(monkeypatch):
    with cleaning.postponed(), pytest.raises(Conflict, match="a backup is being made"):
        cleaning.clean()
    started = []
    monkeypatch.setattr(cleaning, "_in_thread", lambda: started.append(1))
    night, day = (datetime.now(UTC).replace(hour=hour) for hour in (3, 12))
    assert cleaning.clean_at_night(day) is None
    cleaning.clean_at_night(night).join()
    assert started == [1]
    cleaning.clean()
    now = datetime.now(UTC)
    monkeypatch.setattr(cleaning, "NIGHT", range(24))
    assert cleaning.clean_at_night(now) is None, "it was just done"
