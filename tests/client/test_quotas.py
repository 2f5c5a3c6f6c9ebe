"""What the client says of quotas: an error of its own where one is used up, a warning where it nearly is."""

import json
import warnings

import pytest
from tailrace import Client, Forbidden, QuotaExceeded, QuotaWarning

from tests.client.listeners import answer, listening, replies
from tests.client.running import command, kept
from tests.people import bearer, made_on

SAID = "user ada uses 4 of 5 (80 %) for streams"
REFUSED = {"error": {"code": "quota_exceeded", "message": "the quota streams is used up", "request_id": "r1"}}


def near(status: str = "200 OK", body: object = None) -> bytes:
    content = json.dumps({"models": []} if body is None else body).encode()
    return answer(status, content, "Content-Type: application/json", f"X-Tailrace-Quota: {SAID}")


def refusal() -> bytes:
    return answer("403 Forbidden", json.dumps(REFUSED).encode(), "Content-Type: application/json")


@pytest.mark.one_database
def test_an_answer_near_a_quota_warns_and_is_an_answer_all_the_same():
    with listening(replies(near("201 Created", {"last": 1, "accepted": 1, "duplicates": 0}))) as listener:
        client = Client(listener.url)
        with pytest.warns(QuotaWarning, match="80 %") as told:
            posted = client.post("s", {"x": 8}, 1.0, strict=True)
        assert posted.number == 1
    assert str(told[0].message) == f"{listener.url}: a quota is used up, or nearly: {SAID}"


@pytest.mark.one_database
def test_the_command_says_it_in_one_line_and_succeeds(tmp_path):
    with listening(replies(near("201 Created", {"last": 1, "accepted": 1, "duplicates": 0}))) as listener:
        done = command("post", "s", "x=8", "--y", "1", "--url", listener.url, "--spool", str(tmp_path))
    assert done.returncode == 0
    assert f"tailrace: {listener.url}: a quota is used up, or nearly: {SAID}\n" in done.stderr
    assert done.stdout.startswith("tailrace: observation 1")


@pytest.mark.one_database
def test_a_post_that_a_quota_refuses_stays_in_the_spool_and_says_why(tmp_path):
    with listening(replies(refusal())) as listener:
        done = command("post", "new", "x=8", "--y", "1", "--url", listener.url, "--spool", str(tmp_path))
    assert done.returncode == 0
    assert "the quota streams is used up" in done.stderr
    assert [one["x"] for one in kept(tmp_path)] == [{"x": 8}]


@pytest.mark.django_db(transaction=True)
def test_on_a_real_server_it_warns_raises_and_the_command_says_what_to_do(serve):
    server = serve(auth="required", quota_streams=1, quota_token_percent=100)
    secret = made_on(server, ada="researcher")["ada"][1]
    client = Client(server.url, secret)
    with pytest.warns(QuotaWarning, match=r"user ada uses 1 of 1 \(100 %\) for streams"):
        client.create_stream("first", "t")
    with pytest.raises(QuotaExceeded, match="delete streams, or ask an admin to raise") as refused:
        client.create_stream("second", "t")
    assert isinstance(refused.value, Forbidden)
    assert (refused.value.status, refused.value.code) == (403, "quota_exceeded")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.create("m", "first", "mean").name == "m"
    done = command(
        "create", "other", "--stream", "third", "--recipe", "mean", "--target", "t", "--url", server.url,
        environ={"TAILRACE_TOKEN": secret},
    )  # fmt: skip
    assert done.returncode == 1
    assert "ask an admin to raise TAILRACE_QUOTA_STREAMS" in done.stderr
    assert server.get("/api/v1/streams/third/", **bearer(secret))[0] == 404
