"""Artifacts: announced, sent in chunks, verified, downloaded in parts."""

import hashlib

import pytest

from server.contents import contents, storage
from server.core.errors import Invalid
from server.tracking import runs, uploads
from server.tracking.models import Artifact
from tests.api_client import refused

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def announce(run, first=0, path="plots/field.png", content=CONTENT, sha256=None):
    line = {"kind": "artifact", "path": path, "sha256": sha256 or hashlib.sha256(content).hexdigest(), "size": len(content)}  # fmt: skip
    assert run.lines(first, line).json()["refused"] == []


def chunk(run, offset, data, sha256=SHA256):
    return run.send("PATCH", f"uploads/{sha256}/", data, "application/octet-stream", **{"Upload-Offset": str(offset)})


def cut_off(data):
    """Chunks of a request whose end does not arrive."""
    yield data
    raise Invalid("cut off")


def state(run, sha256=SHA256):
    return run.api.ok(f"{run.path}uploads/{sha256}/")


def test_an_upload_goes_on_where_it_was_cut_off(run):
    announce(run)
    assert state(run) == {"stored": False, "received": 0, "size": len(CONTENT)}
    assert chunk(run, 0, CONTENT[:5_000]).json()["received"] == 5_000
    with pytest.raises(Invalid, match="cut off"):
        uploads.append(runs.find(run.uid), SHA256, 5_000, cut_off(CONTENT[5_000:6_000]))
    assert state(run)["received"] == 6_000
    wrong = chunk(run, 7_000, CONTENT[7_000:])
    assert (wrong.status_code, wrong.json()["error"]["code"], wrong.json()["received"]) == (409, "offset", 6_000)
    refused(run.api.get(f"{run.path}artifacts/plots/field.png"), 404, "path")
    assert chunk(run, 6_000, CONTENT[6_000:]).json() == {"stored": True, "received": len(CONTENT), "size": len(CONTENT)}
    assert chunk(run, 0, b"anything").json()["stored"]
    found = run.api.get(f"{run.path}artifacts/plots/field.png")
    assert found.getvalue() == CONTENT
    assert found.headers["Content-Disposition"].startswith("attachment")


def test_a_wrong_content_is_thrown_away_and_can_be_sent_again(run):
    announce(run)
    refused(chunk(run, 0, b"x" * len(CONTENT)), 400, "sha256", "wrong_checksum")
    assert state(run)["received"] == 0
    refused(chunk(run, 0, CONTENT + b"x"), 400, "sha256", "wrong_size")
    assert state(run)["received"] == 0
    assert not list(storage.store().listed())
    assert not list(contents.folder().glob(f"{contents.NEW}*"))
    assert chunk(run, 0, CONTENT).json()["stored"]


def test_the_same_content_is_stored_once_for_several_runs(run, moderator):
    announce(run)
    chunk(run, 0, CONTENT)
    announce(run, 1, "copy.png")
    assert state(run)["stored"]
    assert run.api.get(f"{run.path}artifacts/copy.png").getvalue() == CONTENT
    assert len(list(storage.store().listed())) == 1


def test_an_empty_content_needs_no_chunk(run):
    announce(run, content=b"", path="empty")
    assert state(run, hashlib.sha256(b"").hexdigest())["stored"]
    assert run.api.get(f"{run.path}artifacts/empty").getvalue() == b""


def test_only_what_was_announced_is_taken(run):
    refused(chunk(run, 0, CONTENT), 404, "sha256")
    refused(chunk(run, 0, CONTENT, "x" * 64), 400, "sha256")
    announce(run)
    for offset in ("", "-1", "1.5", "x"):
        refused(chunk(run, offset, CONTENT), 400, "Upload-Offset")


def test_parts_of_an_artifact_are_sent_as_they_are_asked_for(run):
    assert run.send("PUT", "artifacts/a b/ü.txt", b"0123456789", "text/plain").status_code == 200
    path = f"{run.path}artifacts/a b/ü.txt"
    for asked, status, data, said in (
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=4-2", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ):
        found = run.api.get(path, Range=asked)
        assert (found.status_code, found.getvalue(), found.headers.get("Content-Range")) == (status, data, said), asked
    tag = run.api.get(path).headers["ETag"]
    assert run.api.get(path, **{"Range": "bytes=0-1", "If-Range": tag}).getvalue() == b"01"
    assert run.api.get(path, **{"Range": "bytes=0-1", "If-Range": '"other"'}).getvalue() == b"0123456789"


def test_folders_are_listed_and_paths_that_climb_are_refused(run):
    for path in ("a/b/c.txt", "a/d.txt", "A/x.txt", "top.txt", "a%/e_.txt"):
        run.send("PUT", f"artifacts/{path.replace('%', '%25')}", path.encode(), "text/plain")
    listed = [(one["path"], one["is_folder"]) for one in run.api.ok(f"{run.path}artifacts/")["artifacts"]]
    assert listed == [("A", True), ("a", True), ("a%", True), ("top.txt", False)]
    inside = run.api.ok(f"{run.path}artifacts/?folder=a")["artifacts"]
    assert [one["path"] for one in inside] == ["a/b", "a/d.txt"]
    every = run.api.ok(f"{run.path}artifacts/?folder=a&recursive=true")["artifacts"]
    assert [one["path"] for one in every] == ["a/b/c.txt", "a/d.txt"]
    for path in ("../up", "a/../../b", "%252e%252e/x", "a//b", "a/./b", "a\\b", "/abs", "x" * 1_001, "€" * 1_000):
        answer = run.lines(0, {"kind": "artifact", "path": path, "sha256": SHA256, "size": 1}, writer=path[:20] + "w")
        assert answer.json()["refused"], path
    assert Artifact.objects.count() == 5
    assert run.send("DELETE", "artifacts/top.txt").status_code == 204
    refused(run.api.get(f"{run.path}artifacts/top.txt"), 404, "path")


def test_an_artifact_that_is_too_large_or_beyond_the_quota_is_refused(run, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(
        update={"artifact_limit_mb": 2, "quota_run_artifact_mb": 1, "quota_token_percent": 100}
    )
    line = {"kind": "artifact", "path": "big", "sha256": SHA256, "size": 3 * 2**20}
    (too_large,) = run.lines(0, line).json()["refused"]
    assert "TAILRACE_ARTIFACT_LIMIT_MB" in too_large["why"]
    line["size"] = 2**20 + 1
    (over,) = run.lines(1, line).json()["refused"]
    assert "TAILRACE_QUOTA_RUN_ARTIFACT_MB" in over["why"]
    line["size"] = 2**20
    assert not run.lines(2, line).json()["refused"]
    assert run.lines(3, {**line, "path": "next", "size": 1}).json()["refused"]
    assert run.lines(4, {**line, "size": 5}, {**line, "path": "next", "size": 1}).json()["refused"] == []


def bytes_on_disk():
    return sum(path.stat().st_size for path in contents.folder().rglob("*") if path.is_file() and path.stat().st_size)


@pytest.mark.django_db(transaction=True)
def test_replacing_a_file_again_and_again_takes_no_more_disk_than_the_file(run):
    before = bytes_on_disk()
    for number in range(4):  # parts of contents, each in place of the one before
        content = CONTENT[number:]
        sha256 = hashlib.sha256(content).hexdigest()
        announce(run, number, content=content)
        chunk(run, 0, content[:-1], sha256)
    assert bytes_on_disk() - before < 1.5 * len(CONTENT)
    for number in range(4):
        sent = run.send("PUT", "artifacts/plots/field.png", CONTENT[number:] + b"x", "application/octet-stream")
        assert sent.status_code == 200
    assert bytes_on_disk() - before < 1.5 * len(CONTENT)
    run.send("PUT", "artifacts/copy.png", CONTENT[3:] + b"x", "application/octet-stream")
    assert run.send("DELETE", "artifacts/plots/field.png", b"", "application/json").status_code == 204
    assert run.api.get(f"{run.path}artifacts/copy.png").getvalue() == CONTENT[3:] + b"x"  # another one still names it
    assert run.send("DELETE", "artifacts/copy.png", b"", "application/json").status_code == 204
    assert bytes_on_disk() == before
