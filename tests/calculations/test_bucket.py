"""Files of results in an S3 bucket, on a real S3 server."""

import io
import logging
import os
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from server.contents import contents, storage
from server.contents.contents import Folder
from server.core.errors import Unavailable
from tests.api_client import refused
from tests.calculations.agents import declared
from tests.calculations.conftest import API
from tests.s3_server import SECRET, S3Server, serving

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PNG = b"\x89PNG not really"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(server, settings):
    """The settings name the bucket."""
    settings.TAILRACE = settings.TAILRACE.model_copy(update=server.settings)
    return server.bucket / "tailrace" / "files"


def sent(agent, work, content: bytes, name: str = "thermo.png"):
    return agent.put(f"steps/{work['step']}/files/{name}?fence=1", content)


def settled(agent, submit, content: bytes):
    made = submit(again=True)
    (work,) = agent.claim(1)
    agent.permit(work)
    agent.results(work, files=[declared("thermo.png", content)])
    return made, work


def test_a_file_goes_to_the_bucket_and_comes_back_whole(agent, submit, ada, bucket):
    made, work = settled(agent, submit, PNG)
    for _ in range(2):
        assert sent(agent, work, PNG).status_code == 200
    name = contents.place(declared("", PNG)["sha256"])
    assert (bucket / name).read_bytes() == PNG
    assert [kept.size for kept in storage.store().listed()] == [len(PNG)]
    assert list(contents.folder().iterdir()) == [], "what was on its way is gone"
    found = ada.get(f"{API}{made['id']}/steps/main/files/thermo.png")
    assert found.getvalue() == PNG
    assert found.headers["Content-Length"] == str(len(PNG))
    crate = ada.get(f"{API}{made['id']}/report/?format=rocrate").getvalue()
    with zipfile.ZipFile(io.BytesIO(crate)) as archive:
        assert archive.read(f"calculation-{made['id']}/results/main/thermo.png") == PNG


def test_a_content_that_is_altered_or_missing_in_the_bucket_is_never_passed_off(agent, submit, ada, bucket):
    made, work = settled(agent, submit, b"the right one")
    sent(agent, work, b"the right one")
    stored = bucket / contents.place(declared("", b"the right one")["sha256"])
    stored.write_bytes(b"the wrong one")
    mine = f"{API}{made['id']}/steps/main/files/thermo.png"
    assert "altered" in refused(ada.get(mine), 404, "name")["message"]
    stored.unlink()
    assert "missing in the server's bucket results" in refused(ada.get(mine), 404, "name")["message"]
    assert sent(agent, work, b"the right one").status_code == 200, "sent again, it is stored again"
    assert ada.get(mine).getvalue() == b"the right one"


def test_while_the_bucket_is_away_requests_are_to_be_repeated_and_no_secret_is_told(
    agent, submit, ada, bucket, server, caplog
):
    made, work = settled(agent, submit, b"late")
    server.stop()
    caplog.set_level(logging.DEBUG)
    try:
        response = sent(agent, work, b"late")
    finally:
        server.start()
    refused(response, 503)
    assert response.headers["Retry-After"] == "30"
    assert list(contents.folder().iterdir()) == []
    assert agent.results(work)["missing"] == [declared("", b"late")["sha256"]]
    assert sent(agent, work, b"late").status_code == 200
    assert ada.get(f"{API}{made['id']}/steps/main/files/thermo.png").getvalue() == b"late"
    assert SECRET not in caplog.text + response.content.decode()
    assert "bucket results" in caplog.text


def test_a_wrong_secret_is_an_error_that_names_the_settings(bucket, settings):
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"files_secret_key": "another-one"})
    with pytest.raises(Unavailable, match=r"bucket results at http.*\(40.\).*TAILRACE_FILES_"):
        storage.store().size("0" * 64)


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_large_file_is_never_in_memory(request, where):
    if where == "bucket":
        request.getfixturevalue("bucket")
    place = storage.store()
    assert isinstance(place, Folder) == (where == "folder")
    part, parts = os.urandom(2**20), 20
    place.size("0" * 64)  # the client is made now
    tracemalloc.start()
    try:
        with contents.receiving(part for _ in range(parts)) as received:
            place.put(received)
        with place.open(received.sha256) as file:
            assert contents.is_intact(file, received.sha256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        place.delete(received.sha256)
    assert place.size(received.sha256) is None
    assert peak < 12 * 2**20, "a part of 8 MB at most"
