"""The published riverapi client against a real server that requires tokens."""

import pytest
import requests
import riverapi.main


@pytest.fixture
def guarded(serve):
    return serve(auth="required", workers=2, threads=4)


@pytest.fixture
def secret(guarded) -> str:
    made = guarded.manage("create_token", "ada", "--create-user", "--name", "laptop")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture
def river_client(guarded, secret, monkeypatch):
    monkeypatch.setenv("RIVER_ML_USER", "ada")
    monkeypatch.setenv("RIVER_ML_TOKEN", secret)
    return riverapi.main.Client(guarded.url, quiet=True)


def test_riverapi_needs_its_two_variables_and_nothing_else(guarded, river_client, monkeypatch):
    assert river_client.models() == {"models": []}
    scheme, _, access = river_client.headers["Authorization"].partition(" ")
    assert (scheme, access.count(".")) == ("Bearer", 2)

    river_client.headers["Authorization"] = "Bearer eyJvbGQ.eyJvbGQ.b2xk"  # one that no longer holds is replaced
    assert river_client.models() == {"models": []}

    monkeypatch.setenv("RIVER_ML_TOKEN", "trc_" + "0" * 64)
    with pytest.raises(SystemExit):
        riverapi.main.Client(guarded.url, quiet=True).models()


def test_a_revocation_counts_at_once_on_every_worker_and_no_log_line_holds_a_credential(guarded, secret, river_client):
    river_client.models()
    access = river_client.headers["Authorization"].removeprefix("Bearer ")

    def statuses() -> set[int]:
        # Each request has a connection of its own, so that both workers answer some.
        return {
            requests.get(f"{guarded.url}/api/models/", headers={"Authorization": f"Bearer {credential}"}).status_code
            for credential in [secret, access] * 20
        }

    assert statuses() == {200}
    listed = guarded.manage("revoke_token", "999").stderr
    number = listed.partition(" (laptop of ada)")[0].rpartition(" ")[2]
    revoked = guarded.manage("revoke_token", number)
    assert revoked.returncode == 0, revoked.stderr
    assert statuses() == {401}
    with pytest.raises(SystemExit):
        river_client.models()
    log = guarded.log.read_text()
    assert secret not in log
    assert access not in log
