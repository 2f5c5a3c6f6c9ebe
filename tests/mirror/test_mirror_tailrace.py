"""A mirror into a Tailrace, by its MLflow API: another server with tokens, and the server itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.mirrored import Target, check_series, learn, make, points
from tests.people import made_on
from tests.serving import Server, fresh_database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fresh_database("mirror_from") as database:
        server = Server(tmp_path_factory.mktemp("from"), database).start()
        make(server, models=[("runtime", "runtime"), ("linear", "linear")])
        learn(server, "jobs", points(60))
        yield server
        server.stop()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fresh_database("mirror_to") as database:
        server = Server(tmp_path_factory.mktemp("to"), database, auth="required").start()
        yield server
        server.stop()


def test_into_another_tailrace_with_a_token_that_nobody_sees(server: Server, other: Server, tmp_path: Path) -> None:
    secret = made_on(other, mirror="researcher")["mirror"][1]
    command = ["mirror", "--all", "--uri", other.url, "--once", "--rate", "0", "--patience", "0"]
    done = server.manage(*command)
    assert done.returncode == 1
    assert "401" in done.stderr or "credential" in done.stderr
    token = tmp_path / "token"
    token.write_text(secret + "\n")
    command += ["--token-file", str(token)]
    done = server.manage(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert secret not in done.stdout + done.stderr
    assert not any(secret in path.read_text() for path in (server.directory / "mirror").rglob("*") if path.is_file())
    target = Target(other.url, secret)
    check_series(server, target, target.run("jobs", "runtime"), "runtime", 60, (1, 30, 60))
    assert {name: target.live(name) for name in ("runtime", "linear")} == {"runtime": "1", "linear": "1"}
    server.environment["MLFLOW_TRACKING_TOKEN"] = secret
    try:
        done = server.manage("verify_version", "models:/runtime@live", "models:/linear/1", "--uri", other.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.manage(*command).stdout == ""
    finally:
        del server.environment["MLFLOW_TRACKING_TOKEN"]


def test_into_itself_it_feeds_nothing(server: Server) -> None:
    command = ["mirror", "jobs", "--uri", server.url, "--once", "--rate", "0"]
    streams = server.get("/api/v1/streams/")[1]
    done = server.manage(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.manage(*command).stdout == ""
    assert server.get("/api/v1/streams/")[1] == streams
    target = Target(server.url)
    check_series(server, target, target.run("jobs", "linear"), "linear", 60, (1, 30, 60))
    status, page = server.get("/registry/runtime/")
    assert status == 200
    assert b"tailrace.at: 60" in page
    assert b"jobs to 60" in page


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "expected names of streams, or --all"),
        (["jobs", "--all"], "expected names of streams, or --all"),
        (["nothing"], "no stream named 'nothing'"),
        (["jobs", "--every", "0"], "--every is 0: expected 1 or more"),
        (["jobs", "--rate", "nan"], "--rate is nan: expected 0 or more"),
        (["jobs", "--prefix", "a/b"], "--prefix is 'a/b'"),
        (["jobs", "--uri", "sqlite:///m.db"], "--uri is 'sqlite:///m.db': expected the address of an MLflow server"),
        (["jobs", "--uri", "http://ada:secret@127.0.0.1:1"], "the address holds a user or a password"),
        (["jobs", "--to", "wandb", "--snapshot-every", "5"], "--snapshot-every is for MLflow"),
        (["jobs", "--uri", "http://127.0.0.1:1", "--once", "--patience", "0"], "Run it again to continue"),
    ],
)
def test_what_it_refuses(server: Server, arguments: list[str], expected: str) -> None:
    done = server.manage("mirror", *arguments)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_verification_refuses_what_is_no_version(server: Server, tmp_path: Path) -> None:
    for name, expected in (
        (str(tmp_path), "is not a mirrored model"),
        ("models:/a/b/c", "names no version"),
        ("models:/runtime/99", "Model Version (name=runtime, version=99) not found"),
        ("models:/nothing@live", "not found"),
    ):
        done = server.manage("verify_version", name, "--uri", server.url)
        assert done.returncode == 1
        assert expected in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_without_a_model_it_says_so(server: Server, other: Server) -> None:
    done = other.manage("mirror", "--all", "--uri", server.url, "--once")
    assert (done.returncode, done.stdout) == (0, "no model to mirror yet\n")
