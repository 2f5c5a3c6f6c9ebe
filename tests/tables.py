"""A database that has its tables already, copied for each server that a test starts: making them takes 1.4 s each time."""

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

ROOT = Path(__file__).resolve().parent.parent
FILE = "tailrace.sqlite3"


def copy_to(directory: Path) -> None:
    """Put an SQLite database with tables where a server that starts in the directory looks for it, unless there is one."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / FILE).exists():
        shutil.copyfile(_made("") / FILE, directory / FILE)


def template() -> str:
    """The name of a PostgreSQL database with tables, on the tests' own server, which others are made from."""
    base = os.environ["TAILRACE_TEST_DATABASE_URL"]
    _made(urlunsplit(urlsplit(base)._replace(path=f"/{_name()}")))
    return _name()


@functools.cache
def _made(url: str) -> Path:
    """Make the database, which all processes of the tests share."""
    directory = Path(os.environ["TAILRACE_TEST_DIR"]) / "tables"
    directory.mkdir(exist_ok=True)
    with open(directory / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "done").exists():
            if url:
                _do(f'CREATE DATABASE "{_name()}"')
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
            environment |= {"TAILRACE_VAR_DIR": str(directory), **({"TAILRACE_DATABASE_URL": url} if url else {})}
            subprocess.run(
                [sys.executable, "manage.py", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True
            )
            (directory / "done").touch()
    return directory


def drop_template() -> None:
    """Leave nothing behind on a server that isn't the tests' own."""
    _do(f'DROP DATABASE IF EXISTS "{_name()}"')


def _name() -> str:
    return f"tables_of_{Path(os.environ['TAILRACE_TEST_DIR']).name}"


def _do(statement: str) -> None:
    with contextlib.closing(psycopg2.connect(os.environ["TAILRACE_TEST_DATABASE_URL"])) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(statement)
