"""A server's first use: ``manage.py init`` makes one admin, says its token once, and changes nothing that is there."""

import contextlib
import fcntl
import io
import os
import pty
import re
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.contrib.auth.hashers import is_password_usable
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.people import bearer
from tests.serving import ROOT, Server, fresh_database

PASSWORD = "a hill of 12 stones"
SECRET = re.compile(r"trc_[0-9a-f]{64}\n")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A server that wasn't started, on an empty database; keyword arguments are settings."""
    with fresh_database("init", empty=True) as database:
        servers: list[Server] = []

        def make(**settings: Any) -> Server:
            servers.append(Server(tmp_path / "var", database, empty=True, auth="required", **settings))
            return servers[-1]

        yield make
        for server in servers:
            if server.process is not None:
                server.stop()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def unattended(made: Callable[..., Server], password_file: Path) -> Server:
    """One that is set up as in a container."""
    return made(admin_user="ada", admin_password_file=password_file)


def ask(server: Server, sql: str) -> list[tuple[Any, ...]]:
    """The rows that a query finds in the server's database."""
    url = server.environment.get("TAILRACE_DATABASE_URL")
    connection = psycopg2.connect(url) if url else sqlite3.connect(server.directory / "tailrace.sqlite3")
    with contextlib.closing(connection):
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall()


USERS = "SELECT count(*) FROM auth_user"
TOKENS = "SELECT u.username, t.name FROM auth_user u LEFT JOIN accounts_token t ON t.owner_id = u.id"
ROLES = """
SELECT u.username, u.password, g.name FROM auth_user u
LEFT JOIN auth_user_groups ug ON ug.user_id = u.id LEFT JOIN auth_group g ON g.id = ug.group_id
"""


def sign_in(server: Server, password: str) -> int:
    return server.post("/api/v1/signin/", {"user": "ada", "password": password})[0]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why nothing was done."""
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert PASSWORD not in line
    return line


@pytest.mark.database
def test_it_makes_the_tables_the_first_admin_and_a_token_that_works(unattended):
    done = unattended.manage("init")
    assert done.returncode == 0, done.stderr
    assert SECRET.fullmatch(done.stdout)
    secret = done.stdout.strip()
    assert secret not in done.stderr
    assert PASSWORD not in done.stderr
    unattended.start()
    status, me = unattended.get("/api/v1/me/", **bearer(secret))
    assert (status, me["user"], me["role"]) == (200, "ada", "admin")
    assert unattended.get("/api/v1/audit/", **bearer(secret))[0] == 200
    assert sign_in(unattended, PASSWORD) == 200
    assert "The audit trail is intact" in unattended.manage("verify_audit").stdout


def test_again_it_says_that_it_was_done_and_changes_nothing(unattended, password_file):
    secret = unattended.manage("init").stdout.strip()
    password_file.write_text("quite another password")
    unattended.environment["TAILRACE_ADMIN_USER"] = "eve"
    for _ in range(2):
        done = unattended.manage("init")
        assert (done.returncode, done.stdout) == (0, "")
        assert "There is already an admin, ada" in done.stderr
    assert ask(unattended, TOKENS) == [("ada", "first token")]
    unattended.start()
    assert sign_in(unattended, "quite another password") == 401
    assert sign_in(unattended, PASSWORD) == 200
    assert unattended.get("/api/v1/me/", **bearer(secret))[0] == 200


@pytest.mark.one_database
def test_where_there_is_an_admin_it_needs_to_be_told_nothing(unattended):
    assert unattended.manage("init").returncode == 0
    del unattended.environment["TAILRACE_ADMIN_USER"], unattended.environment["TAILRACE_ADMIN_PASSWORD_FILE"]
    assert unattended.manage("init").returncode == 0


@pytest.mark.database
def test_ten_at_once_make_one_admin(unattended):
    with ThreadPoolExecutor(10) as pool:
        said = list(pool.map(lambda _: unattended.manage("init"), range(10)))
    assert [one.returncode for one in said] == [0] * 10, said
    assert sum(SECRET.fullmatch(one.stdout) is not None for one in said) == 1
    assert sum("There is already an admin, ada" in one.stderr for one in said) == 9
    assert ask(unattended, TOKENS) == [("ada", "first token")]


@pytest.mark.one_database
def test_without_a_terminal_it_says_which_variables_are_missing(made):
    missing = "set TAILRACE_ADMIN_USER and TAILRACE_ADMIN_PASSWORD_FILE"
    assert refused(made().manage("init")).endswith(f"standard input is not a terminal: {missing}")


@pytest.fixture
def reason(transactional_db: None, settings: Any, password_file: Path) -> Callable[..., str]:
    """Runs it in this process, which takes seconds less, with changed settings; why it was refused and made nobody."""

    def run(**changed: Any) -> str:
        given = {"admin_user": "ada-lovelace", "admin_password_file": password_file, **changed}
        settings.TAILRACE = settings.TAILRACE.model_copy(update=given)
        said = io.StringIO()
        with pytest.raises(CommandError) as refusal:
            call_command("init", stdout=said, stderr=said)
        assert said.getvalue() == ""
        assert not User.objects.exists()
        (line,) = str(refusal.value).splitlines()
        assert PASSWORD not in line
        return line

    return run


@pytest.mark.parametrize("name", ["admin_user", "admin_password_file"])
@pytest.mark.one_database
def test_the_one_variable_that_is_missing_is_named(reason, name):
    assert reason(**{name: None}).endswith(f"standard input is not a terminal: set TAILRACE_{name.upper()}")


@pytest.mark.parametrize(
    "password, rule",
    [
        ("short", "too short"),
        ("", "too short"),
        ("password1234", "too common"),
        ("820417593316", "entirely numeric"),
        ("ada-lovelace-1", "too similar"),
        ("a hill of 12\x00stones \ud800".encode("utf-8", "surrogatepass"), "UTF-8"),
    ],
)
@pytest.mark.one_database
def test_a_weak_password_is_refused_and_nobody_made(reason, password_file, password, rule):
    password_file.write_bytes(password if isinstance(password, bytes) else password.encode())
    assert rule in reason()


@pytest.mark.parametrize("name", ["two words", "ada/../eve", "x" * 151, "-ada"])
@pytest.mark.one_database
def test_a_name_that_is_none_is_refused(reason, name):
    assert "is not a valid name of a user" in reason(admin_user=name)


@pytest.mark.parametrize("path, why", [("nowhere", "No such file or directory"), (".", "Is a directory")])
@pytest.mark.one_database
def test_a_password_file_that_is_none_is_named(reason, tmp_path, path, why):
    line = reason(admin_password_file=tmp_path / path)
    assert "TAILRACE_ADMIN_PASSWORD_FILE" in line
    assert why in line


def test_it_makes_no_admin_of_somebody_who_is_there_already(unattended):
    assert unattended.manage("migrate").returncode == 0
    assert unattended.manage("create_token", "Ada", "--create-user").returncode == 0
    line = refused(unattended.manage("init"))
    assert "TAILRACE_ADMIN_USER to another name" in line
    ((name, password, role),) = ask(unattended, ROLES)
    assert (name, is_password_usable(password), role) == ("Ada", False, "researcher")


@pytest.mark.one_database
def test_a_database_that_is_away_is_said_in_one_line(password_file, tmp_path):
    away = "postgresql://nobody:hidden@127.0.0.1:1/none"
    server = Server(tmp_path / "var", away, admin_user="ada", admin_password_file=password_file)
    line = refused(server.manage("init"))
    assert "check TAILRACE_DATABASE_URL" in line
    assert "hidden" not in line


@pytest.mark.one_database
def test_a_database_without_tables_is_to_be_migrated(tmp_path):
    line = refused(Server(tmp_path / "var", f"sqlite:///{tmp_path}/new.sqlite3").manage("verify_model", "m"))
    assert "no such table" in line
    assert "run `manage.py migrate` first if it is new" in line


# On a terminal


def typed(server: Server, *entries: str) -> tuple[int, str]:
    """The exit code and all that is seen where a person types each entry when something is asked."""
    terminal, end = pty.openpty()
    attributes = termios.tcgetattr(end)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(end, termios.TCSANOW, attributes)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "init"], cwd=ROOT, env=server.environment,
        stdin=end, stdout=end, stderr=end, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(end)
    seen, asked = "", 0
    waiting = list(entries)
    try:
        while piece := os.read(terminal, 4096):
            seen += piece.decode()
            questions = len(re.findall(r"(?:\]|Password|Password \(again\)): ", seen))
            if waiting and questions > asked:
                asked = questions
                os.write(terminal, waiting.pop(0).encode())
    except OSError:
        pass  # the other end was closed
    os.close(terminal)
    return process.wait(60), seen


@pytest.mark.one_database
def test_on_a_terminal_it_asks_until_the_password_will_do(made):
    server = made()
    code, seen = typed(server, "ada\n", "short\n", PASSWORD + "\n", "another\n", PASSWORD + "\n", PASSWORD + "\n")
    assert code == 0, seen
    assert "too short" in seen
    assert "the passwords don't match" in seen
    assert PASSWORD not in seen
    secret = re.search(r"trc_[0-9a-f]{64}", seen)[0]
    server.start()
    assert sign_in(server, PASSWORD) == 200
    assert server.get("/api/v1/me/", **bearer(secret))[1]["role"] == "admin"


@pytest.mark.parametrize("entries", [("ada\n", "a\n", "b\n", "c\n"), ("ada\n", "\x04"), ("\x04",)])
@pytest.mark.one_database
def test_who_gives_up_on_a_terminal_has_made_nobody(made, entries):
    server = made()
    code, seen = typed(server, *entries)
    assert code == 1
    assert "no admin was created" in seen
    assert "Traceback" not in seen
    assert ask(server, USERS) == [(0,)]


# What the start says


def test_the_start_says_how_the_first_admin_is_made_until_there_is_one(unattended):
    hint = "there are no users yet: run `manage.py init` to create the first admin"
    unattended.start().stop()
    assert unattended.log.read_text().count(hint) == 1
    assert unattended.manage("init").returncode == 0
    unattended.start()
    assert unattended.log.read_text().count(hint) == 1


@pytest.mark.one_database
def test_where_nobody_is_asked_the_start_says_nothing_of_it(serve):
    assert "manage.py init" not in serve(workers=1, threads=2).log.read_text()


def test_djangos_flush_which_deletes_everything_is_refused(unattended):
    unattended.manage("init")
    for more in ((), ("--no-input",), ("--help",)):
        done = unattended.manage("flush", *more)
        assert done.returncode == 2
        assert "would delete every stream, model, user and token; nothing was changed" in done.stderr
    assert ask(unattended, USERS) == [(1,)]


def test_a_migration_that_is_typed_takes_no_data_back(unattended):
    unattended.manage("init")
    for more in (("accounts", "zero"), ("learning", "0001")):
        done = unattended.manage("migrate", *more)
        assert done.returncode == 1
        assert "delete the data that they made room for; nothing was changed" in done.stderr
    assert ask(unattended, USERS) == [(1,)]
    assert "Cannot find a migration matching '77'" in unattended.manage("migrate", "learning", "77").stderr
