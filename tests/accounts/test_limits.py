"""How often callers may come: each credential for itself, wherever it comes from; an address, for what it can't vouch for."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpRequest

from server.accounts import jwt, limits, signins, tokens
from server.accounts.caller import Caller
from server.accounts.limits import Window
from server.api.v1 import signin
from server.streams.models import Stream
from tests.accounts.calls import PASSWORD, anonymous
from tests.api_client import Api, refused
from tests.people import bearer, secret_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

MODELS, OLD_MODELS, HANDSHAKE = "/api/v1/models/", "/api/models/", "/api/auth/token/"
SIGN_IN, DOCS = "/api/v1/signin/", "/api/v1/docs/"
GUESS = bearer("trc_" + "0" * 64)


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(limits, "clock", standing)
    return standing


@pytest.fixture
def limited(required: None, settings: Any, clock: Clock) -> Any:
    """Sets the rates for the requests of this test, which all have one client."""

    def set_rates(**rates: Any) -> None:
        settings.TAILRACE = settings.TAILRACE.model_copy(update=rates)

    return set_rates


@pytest.fixture
def api(limited: Any) -> Api:
    """One client for the whole test: each has a server of its own, which counts for itself."""
    return anonymous()


def basic(user: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def statuses(api: Api, path: str, times: int, **headers: str) -> list[int]:
    return [api.get(path, **headers).status_code for _ in range(times)]


# The count


def test_it_lets_so_many_through_in_a_window_and_then_says_how_long_to_wait(clock):
    window = Window(60, 3)
    assert [window.hit("a") for _ in range(3)] == [0, 0, 0]
    assert window.hit("a") == 60
    clock.now += 20
    assert (window.hit("a"), window.hit("b")) == (40, 0)
    clock.now += 40
    assert [window.hit("a") for _ in range(4)] == [0, 0, 0, 60]


def test_nobody_waits_where_there_is_no_limit():
    window = Window(60, 0)
    assert {window.hit("a") for _ in range(1000)} == {0}


def test_it_keeps_nothing_of_the_window_before(clock):
    window = Window(1, 1)
    for key in range(1000):
        window.hit(key)
    clock.now += 1
    window.hit("a")
    assert list(window._counts) == ["a"]


def test_threads_lose_no_hits():
    window, each, threads = Window(3600, 10_000), 5_000, 8
    with ThreadPoolExecutor(threads) as pool:
        let_through = sum(pool.map(lambda _: sum(window.hit("a") == 0 for _ in range(each)), range(threads)))
    assert let_through == 10_000


# Credentials that hold


@pytest.mark.parametrize("path", [MODELS, OLD_MODELS])
def test_a_token_above_its_rate_waits_and_goes_on(api, ada, limited, clock, path):
    limited(token_rate=3)
    own = bearer(secret_of(ada))
    assert statuses(api, path, 3, **own) == [200] * 3
    response = api.get(path, **own)
    error = refused(response, 429, code="too_many_requests")
    assert response["Retry-After"] == "1"
    assert "TAILRACE_TOKEN_RATE" in error["message"]
    clock.now += 1
    assert api.get(path, **own).status_code == 200


def test_a_refused_observation_is_not_stored(api, ada, limited):
    limited(token_rate=1)
    own = bearer(secret_of(ada))
    assert api.post("/api/v1/streams/first/observations/", {"x": {"a": 1}, "y": 1}, **own).status_code == 201
    refused(api.post("/api/v1/streams/second/observations/", {"x": {"a": 1}, "y": 1}, **own), 429)
    assert list(Stream.objects.values_list("name", "head")) == [("first", 1)]


def test_each_token_has_its_own_rate_and_shares_it_with_what_was_issued_for_it(api, ada, limited):
    limited(token_rate=2)
    one, other = secret_of(ada), secret_of(ada)
    issued = api.get(HANDSHAKE, **basic("ada", one)).json()["token"]
    assert statuses(api, MODELS, 2, **bearer(issued)) == [200, 429]
    assert statuses(api, MODELS, 1, **bearer(one)) == [429]
    assert statuses(api, HANDSHAKE, 1, **basic("ada", one)) == [429]
    assert statuses(api, MODELS, 3, **bearer(other)) == [200, 200, 429]


def test_a_person_is_counted_however_often_they_sign_in(api, ada, limited):
    limited(token_rate=2)
    both = [jwt.issue(Caller(ada.pk, "ada", 0), signins.begin(ada)[0].pk)["token"] for _ in range(2)]
    assert [api.get(MODELS, **bearer(token)).status_code for token in [*both, both[0]]] == [200, 200, 429]
    assert api.get(MODELS, **bearer(secret_of(ada))).status_code == 200


def test_what_a_token_may_not_do_counts_too(api, ada, limited):
    limited(token_rate=2)
    own = bearer(secret_of(ada, scopes=["learn"]))
    assert statuses(api, MODELS, 3, **own) == [403, 403, 429]


def test_zero_means_no_limit(api, ada, limited):
    limited(token_rate=0, address_rate=0)
    assert set(statuses(api, MODELS, 200, **bearer(secret_of(ada)))) == {200}
    assert set(statuses(api, MODELS, 200, **GUESS)) == {401}


def test_where_nobody_is_asked_nobody_is_limited(api, limited):
    limited(auth="open", token_rate=1, address_rate=1)
    assert statuses(api, MODELS, 5, **GUESS) == [200] * 5
    assert statuses(api, "/api/", 5) == [200] * 5


# Without a credential that holds


@pytest.mark.parametrize(
    "headers",
    [
        GUESS,
        bearer("nonsense"),
        bearer("eyJhbGciOiJIUzI1NiJ9.eyJ0aWQiOjF9.AAAA"),
        basic("ada", "trc_" + "0" * 64),
        {"Authorization": "Token x"},
    ],
    ids=["token", "nonsense", "forged access token", "of another kind", "of no kind"],
)
def test_who_guesses_is_told_to_wait_and_shuts_nobody_else_out(api, ada, limited, clock, headers):
    limited(address_rate=5)
    known, fresh = secret_of(ada), secret_of(ada)
    assert api.get(MODELS, **bearer(known)).status_code == 200
    assert statuses(api, MODELS, 6, **headers) == [401] * 5 + [429]
    response = api.get(OLD_MODELS, **headers)
    error = refused(response, 429, code="too_many_requests")
    assert response["Retry-After"] == "60"
    assert "TAILRACE_ADDRESS_RATE" in error["message"]
    # From the very same address:
    assert api.get(MODELS, **bearer(known)).status_code == 200
    assert api.get(MODELS, **bearer(fresh)).status_code == 200  # one that this process never saw
    assert api.get(HANDSHAKE, **basic("ada", fresh)).status_code == 200
    assert api.post("/api/v1/streams/s/observations/", {"x": {"a": 1}, "y": 1}, **bearer(fresh)).status_code == 201
    clock.now += 60
    assert api.get(MODELS, **headers).status_code == 401


def test_a_guess_at_the_handshake_counts(api, ada, limited):
    limited(address_rate=2)
    assert statuses(api, HANDSHAKE, 3, **basic("ada", "trc_" + "0" * 64)) == [401, 401, 429]
    assert statuses(api, HANDSHAKE, 5, **basic("ada", secret_of(ada))) == [200] * 5


def test_a_thousand_nodes_behind_one_address_are_never_told_to_wait(api, ada, limited, monkeypatch):
    """Each has a token of its own and does what the riverapi client does, with an access token that expires meanwhile."""
    limited()  # with the rates that are set where nothing is said
    for node in range(1000):
        secret = secret_of(ada, scopes=["learn"])
        assert api.post("/api/learn/", {}).status_code == 401
        with monkeypatch.context() as past:
            past.setattr(jwt, "LIFETIME", -1)
            expired = api.get(HANDSHAKE, **basic("ada", secret)).json()["token"]
        assert api.post("/api/learn/", {}, **bearer(expired)).status_code == 401
        access = api.get(HANDSHAKE, **basic("ada", secret)).json()["token"]
        body = {"model": "none", "features": {"a": 1}, "ground_truth": 1}
        assert api.post("/api/learn/", body, **bearer(access)).status_code == 404, (
            node
        )  # let in: there is no such model


def test_an_access_token_that_expired_or_was_revoked_is_no_guess(api, ada, limited, monkeypatch):
    limited(address_rate=2)
    token, secret = tokens.create(ada, "job")
    access = jwt.issue(tokens.verify(secret))["token"]
    tokens.revoke(token)
    assert statuses(api, MODELS, 5, **bearer(access)) == [401] * 5
    assert statuses(api, MODELS, 3, **GUESS) == [401, 401, 429]


def test_tokens_that_were_revoked_keep_nobody_behind_their_address_from_signing_in(api, ada, limited, quick_passwords):
    limited(address_rate=3)
    ada.set_password(PASSWORD)
    ada.save()
    token, secret = tokens.create(ada, "jobs")
    tokens.revoke(token)
    assert statuses(api, MODELS, 5, **bearer(secret)) == [401] * 3 + [429] * 2
    assert api.post(SIGN_IN, {"user": "ada", "password": PASSWORD}).status_code == 200
    assert api.get(DOCS).status_code == 200


def test_what_is_open_to_all_is_counted_address_by_address(api, limited):
    limited(address_rate=3)
    assert statuses(api, "/api/", 4) == [200] * 3 + [429]
    assert statuses(api, DOCS, 4, **GUESS) == [200] * 3 + [429]
    assert api.client.get("/api/", REMOTE_ADDR="10.9.8.7").status_code == 200


def test_beyond_the_rate_no_password_is_looked_at(api, limited, quick_passwords, django_assert_num_queries):
    limited(address_rate=2, login_failures=100)
    for _ in range(2):
        assert api.post(SIGN_IN, {"user": "eve", "password": "a guess"}).status_code == 401
    with django_assert_num_queries(0):
        refused(api.post(SIGN_IN, {"user": "ada", "password": "another guess"}), 429, code="too_many_requests")


def test_the_page_to_sign_in_is_counted_too(client, limited):
    limited(address_rate=2)
    assert [client.get("/login/").status_code for _ in range(3)] == [200, 200, 429]


def test_probes_of_health_come_as_often_as_they_like(client, limited):
    limited(address_rate=1)
    assert {client.get("/healthz").status_code for _ in range(10)} == {200}


@pytest.mark.parametrize(
    "first, second, together",
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "not an address", True),
    ],
)
def test_one_client_is_an_ipv4_address_or_the_network_of_an_ipv6_address(client, limited, first, second, together):
    limited(address_rate=1)
    assert client.get("/api/", REMOTE_ADDR=first).status_code == 200
    assert client.get("/api/", REMOTE_ADDR=second).status_code == (429 if together else 200)


def test_nobody_gets_a_second_address_by_saying_so(client, limited):
    limited(address_rate=1)
    found = [client.get("/api/", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(3)]
    assert found == [200, 429, 429]


def test_clients_behind_a_trusted_proxy_are_told_apart(client, limited):
    limited(address_rate=1, trusted_proxies="127.0.0.1")
    found = [client.get("/api/", headers={"X-Forwarded-For": f"9.9.9.9, 192.0.2.{n}"}).status_code for n in (1, 2, 2)]
    assert found == [200, 200, 429]


# Strangers at once


@pytest.mark.parametrize("fails", [False, True])
def test_few_strangers_may_send_something_at_once_and_each_that_is_done_makes_room(api, limited, monkeypatch, fails):
    limited(threads=4)
    entered, go = threading.Event(), threading.Event()

    def slow(request: HttpRequest) -> None:
        entered.set()
        assert go.wait(30)
        raise RuntimeError("a bug") if fails else signin.Forbidden("no")

    monkeypatch.setattr(signin, "check_same_origin", slow)
    assert api.get("/api/").status_code == 200  # the handler of this client is there
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.post, SIGN_IN, {})
        assert entered.wait(30)
        response = api.post(SIGN_IN, {})
        refused(response, 429, code="too_many_requests")
        assert response["Retry-After"] == "1"
        assert api.get("/api/").status_code == 200  # who only looks takes no room
        go.set()
        assert first.result().status_code == (500 if fails else 403)
    assert api.post(SIGN_IN, {}).status_code == (500 if fails else 403)


# Event streams and exports


def test_a_caller_has_only_so_many_event_streams_and_leaves_the_others_theirs(api, ada, limited):
    limited(event_streams_per_caller=2, event_streams=5)
    own, other = bearer(secret_of(ada)), bearer(secret_of(ada))
    opened = [api.get(path, **own) for path in ("/api/v1/events/", "/api/stream/events/")]
    for path in ("/api/v1/events/", "/api/stream/events/", "/api/stream/metrics/"):
        response = api.get(path, **own)
        error = refused(response, 429, code="too_many_requests")
        assert "TAILRACE_EVENT_STREAMS_PER_CALLER" in error["message"]
        assert response["Retry-After"] == "5"
    opened += [api.get("/api/v1/events/", **other) for _ in range(2)]
    opened.pop(0).close()
    opened.append(api.get("/api/stream/metrics/", **own))
    assert [response.status_code for response in opened] == [200] * 4
    assert api.get("/api/v1/events/", **own).status_code == 429
    for response in opened:
        response.close()
    last = api.get("/api/v1/events/", **own)
    assert last.status_code == 200
    last.close()


def test_a_caller_has_only_half_of_the_exports_of_a_process_in_progress(api, ada, limited):
    limited(threads=8)
    own, other = bearer(secret_of(ada)), bearer(secret_of(ada))
    assert api.post("/api/v1/streams/", {"name": "runs", "target": {"name": "y"}}, **own).status_code == 201
    path = "/api/v1/streams/runs/observations/?format=ndjson"
    first = api.get(path, **own)
    response = api.get(path, **own)
    error = refused(response, 429, code="too_many_requests")
    assert error["message"].startswith("this token or person has 1 exports in progress in this process")
    assert response["Retry-After"] == "5"
    second = api.get(path, **other)
    assert (first.status_code, second.status_code) == (200, 200)
    first.close()
    last = api.get(path, **own)
    assert last.status_code == 200
    last.close()
    second.close()


def test_where_nobody_is_asked_only_the_process_limits_event_streams(api, limited):
    limited(auth="open", event_streams_per_caller=1, event_streams=3)
    opened = [api.get("/api/v1/events/") for _ in range(3)]
    assert [response.status_code for response in opened] == [200] * 3
    assert api.get("/api/v1/events/").status_code == 503
    for response in opened:
        response.close()
