"""Access tokens: what passes for one, and for how long."""

import base64
import dataclasses
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import pytest
from django.contrib.auth.models import User
from django.utils.crypto import salted_hmac

from server.accounts import jwt, tokens
from server.accounts.caller import Caller
from server.accounts.models import Token
from tests.people import person

pytestmark = pytest.mark.django_db

Forge = Callable[..., str]


@pytest.fixture
def token() -> Token:
    return tokens.create(person("ada"), "laptop", scopes=["learn", "read"], streams=["s"])[0]


@pytest.fixture
def caller(token: Token) -> Caller:
    found = tokens.verify_id(token.pk)
    assert found is not None
    return found


def holds(access: str, caller: Caller) -> bool:
    """Whether an access token stands for that caller: with just their rights, and for its lifetime at most."""
    found = jwt.verify(access)
    return (
        found is not None
        and found.ends <= time.time() + jwt.LIFETIME + 20
        and dataclasses.replace(found, ends=caller.ends, generation=caller.generation) == caller
    )


def own_key(settings: Any) -> bytes:
    return jwt._key(settings.SECRET_KEY)


@pytest.fixture
def forge(settings: Any, caller: Caller) -> Forge:
    """Makes an access token like ours, with claims changed (None: left out), signed by our key unless another is given."""

    def forged(key: bytes | None = None, algorithm: str = "HS256", headers: Any = None, **changes: Any) -> str:
        key = own_key(settings) if key is None else key
        claims = pyjwt.decode(jwt.issue(caller)["token"], options={"verify_signature": False})
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return pyjwt.encode(claims, key, algorithm=algorithm, headers=headers)

    return forged


def segment(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_it_stands_for_the_caller_that_it_was_issued_to(caller):
    assert holds(jwt.issue(caller)["token"], caller)


def test_it_is_answered_with_its_lifetime_and_its_time_of_issue(caller):
    before = time.time()
    issued = jwt.issue(caller)
    assert set(issued) == {"token", "expires_in", "issued_at"}
    assert issued["expires_in"] == 600
    issued_at = datetime.strptime(issued["issued_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    assert before - 1 <= issued_at <= time.time()


def test_it_expires_after_its_lifetime_and_has_an_id_of_its_own(caller):
    claims = [pyjwt.decode(jwt.issue(caller)["token"], options={"verify_signature": False}) for _ in range(2)]
    assert claims[0]["exp"] - claims[0]["iat"] == 600
    assert claims[0]["jti"] != claims[1]["jti"]


def test_it_verifies_with_two_reads(caller, django_assert_num_queries):
    access = jwt.issue(caller)["token"]
    with django_assert_num_queries(2):
        assert holds(access, caller)


def test_it_ends_with_its_lifetime_or_its_token_whichever_is_first(token):
    now = datetime.now(UTC)
    access = jwt.issue(tokens.verify_id(token.pk))["token"]
    assert 590 < jwt.verify(access).ends - now.timestamp() <= 600
    Token.objects.filter(pk=token.pk).update(expires_at=now + timedelta(seconds=60))
    assert 50 < jwt.verify(access).ends - now.timestamp() <= 60


def test_a_faithful_forgery_passes_so_that_the_other_tests_mean_something(forge, caller):
    assert holds(forge(), caller)


def test_it_refuses_one_that_expired(forge):
    now = int(time.time())
    assert jwt.verify(forge(iat=now - 600, exp=now)) is None
    assert jwt.verify(forge(iat=now - 700, exp=now - 100)) is None


def test_it_takes_one_from_a_pod_whose_clock_is_ahead(forge, caller):
    now = int(time.time())
    assert holds(forge(iat=now + 20, exp=now + 620), caller)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-service"},
        {"aud": ["another-service"]},
        {"iss": "another-issuer"},
        {"sub": "0"},
        {"sub": 1},
        {"tid": 0},
        {"exp": "never"},
        {"nbf": 2**33},
    ],
    ids=str,
)
def test_it_refuses_wrong_claims(forge, changes):
    assert jwt.verify(forge(**changes)) is None


@pytest.mark.one_database
@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "tid", "iat", "exp", "jti"])
def test_it_refuses_one_that_lacks_a_claim(forge, claim):
    assert jwt.verify(forge(**{claim: None})) is None


def test_it_refuses_one_for_another_users_token(forge):
    other, _ = tokens.create(person("grace"), "laptop")
    assert jwt.verify(forge(tid=other.pk)) is None


@pytest.mark.parametrize("key", [b"k" * 32, b"tailrace" * 8])
def test_it_refuses_a_foreign_signature(forge, key):
    assert jwt.verify(forge(key)) is None


def test_it_refuses_a_signature_by_the_servers_key_for_another_purpose(forge, settings):
    assert jwt.verify(forge(settings.SECRET_KEY.encode())) is None
    assert jwt.verify(forge(salted_hmac("another purpose", "HS256", algorithm="sha256").digest())) is None


def test_it_refuses_one_from_before_the_servers_key_changed(caller, settings):
    access = jwt.issue(caller)["token"]
    settings.SECRET_KEY = "another secret key, of more than 32 characters"
    assert jwt.verify(access) is None


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_it_refuses_another_algorithm_even_with_the_right_key(forge, algorithm):
    # The key is long enough for none of them but HS256: PyJWT warns of that while forging.
    with pytest.warns(pyjwt.warnings.InsecureKeyLengthWarning):
        access = forge(algorithm=algorithm)
    assert jwt.verify(access) is None


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
def test_it_refuses_alg_none(forge, name):
    _, claims, signature = forge().split(".")
    header = segment({"alg": name, "typ": "JWT"})
    assert jwt.verify(f"{header}.{claims}.") is None
    assert jwt.verify(f"{header}.{claims}.{signature}") is None


def test_it_refuses_a_changed_payload_or_signature(forge):
    header, claims, signature = forge().split(".")
    other = segment({**json.loads(base64.urlsafe_b64decode(claims + "==")), "sub": "1", "exp": 2**33})
    assert jwt.verify(f"{header}.{other}.{signature}") is None
    assert jwt.verify(f"{header}.{claims}.{signature[::-1]}") is None
    assert jwt.verify(f"{header}.{claims}.") is None


@pytest.mark.one_database
@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "\x00",
        f"{segment(b'not json')}.e30.AAAA",
        f"{segment([1])}.e30.AAAA",
        f"{segment(b'[' * 5000)}.e30.AAAA",
        f"{segment(b'9' * 5000)}.e30.AAAA",
        f"{segment({'alg': ['HS256']})}.e30.AAAA",
        f"{segment({'alg': None})}.e30.AAAA",
        f"{segment({'alg': 'HS256', 'b64': False, 'crit': ['b64']})}..AAAA",
        f"{segment({'alg': 'HS256', 'kid': 7})}.e30.AAAA",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_it_refuses_what_is_no_access_token_at_all_without_asking_the_database(text, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert jwt.verify(text) is None


def test_a_payload_is_not_read_before_its_signature_holds(settings):
    key = b"k" * 32
    bomb = pyjwt.api_jws.PyJWS().encode(b"[" * 100_000, key, algorithm="HS256")
    assert jwt.verify(bomb) is None


def test_it_dies_with_the_token_that_it_was_issued_for(caller, token):
    access = jwt.issue(caller)["token"]
    tokens.revoke(token)
    assert jwt.verify(access) is None


def test_it_dies_when_that_token_expires(caller, token):
    access = jwt.issue(caller)["token"]
    Token.objects.filter(pk=token.pk).update(expires_at=datetime.now(UTC))
    assert jwt.verify(access) is None


def test_it_dies_with_its_user(caller, token):
    access = jwt.issue(caller)["token"]
    User.objects.filter(pk=caller.user_id).update(is_active=False)
    assert jwt.verify(access) is None
    User.objects.filter(pk=caller.user_id).update(is_active=True)
    assert holds(access, caller)
    token.owner.delete()
    assert jwt.verify(access) is None
