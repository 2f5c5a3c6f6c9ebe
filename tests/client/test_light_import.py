"""The way to a post is light: it is run by every job of a cluster, on file systems that are slow to import from."""

import json
import subprocess
import sys

import pytest

from tests.client.listeners import listening, replies
from tests.client.running import NOBODY, environment, receipt

pytestmark = pytest.mark.one_database

HEAVY = {
    "asyncio", "dataclasses", "email", "hashlib", "http", "inspect", "logging", "matplotlib", "numpy", "pandas",
    "pathlib", "random", "river", "shutil", "ssl", "subprocess", "tempfile", "threading", "typing", "urllib",
}  # fmt: skip
"""What a post to a server by http has no business to import."""

MINE = {
    "tailrace", "tailrace.cli", "tailrace.cli.arguments", "tailrace.cli.command_list", "tailrace.cli.commands",
    "tailrace.cli.commands.post", "tailrace.cli.messages", "tailrace.cli.parser", "tailrace.errors",
    "tailrace.observations", "tailrace.observations.fingerprint", "tailrace.observations.idempotency_keys",
    "tailrace.observations.json_values", "tailrace.observations.text_values", "tailrace.posting", "tailrace.posting.post",
    "tailrace.spool", "tailrace.spool.directory", "tailrace.spool.in_flight", "tailrace.transport",
    "tailrace.transport.connections", "tailrace.transport.endpoint", "tailrace.transport.exchange",
    "tailrace.transport.http1", "tailrace.transport.observation_requests", "tailrace.transport.quota_warnings",
    "tailrace.transport.responses", "tailrace.transport.server", "tailrace.version",
}  # fmt: skip


PROGRAM = """
import sys
before = set(sys.modules)
from tailrace.cli import main
code = main()
with open(sys.argv[-1] + "/modules", "w") as file:
    file.write(" ".join(set(sys.modules) - before))
sys.exit(code)
"""


def posted(tmp_path, url, **variables):
    """The names of all modules that a post imports into a fresh process, and what became of that."""
    given = ["post", "s", "x=8", "--y", "1", "--url", url, "--spool", str(tmp_path)]
    # -S: without what this machine's site-packages start with.
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, *given],
        env=environment(**variables), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return set((tmp_path / "modules").read_text().split()), done


def tops(names):
    return {name.partition(".")[0] for name in names}


def test_a_post_imports_nothing_heavy(tmp_path):
    with listening(replies(receipt())) as listener:
        names, done = posted(tmp_path, listener.url)
    assert done.stdout.startswith("tailrace: observation 1")
    assert tops(names) & HEAVY == set()
    assert {name for name in names if name.startswith("tailrace")} == MINE


def test_nor_does_one_inside_a_job(tmp_path):
    with listening(replies(receipt())) as listener:
        names, done = posted(tmp_path, listener.url, SLURM_JOB_ID="7")
    assert done.stdout.startswith("tailrace: observation 1")
    assert tops(names) & HEAVY == set()


def test_one_that_is_kept_needs_little_more(tmp_path):
    names, done = posted(tmp_path, NOBODY)
    assert "kept as" in done.stderr
    assert tops(names) & (HEAVY - {"pathlib", "urllib"}) == set()


def test_only_https_brings_tls(tmp_path):
    names, done = posted(tmp_path, NOBODY.replace("http", "https"))
    assert "kept as" in done.stderr
    assert tops(names) & {"numpy", "pandas", "river", "matplotlib", "http", "email"} == set()
    with listening(replies(b"no TLS"), reading=lambda connection: connection.recv(1)) as listener:
        names, done = posted(tmp_path, listener.url.replace("http", "https"))
    assert "ssl" in names


def test_everything_stays_inside_the_standard_library(tmp_path):
    with listening(replies(receipt())) as listener:
        names, _ = posted(tmp_path, listener.url)
    assert tops(names) - sys.stdlib_module_names - {"tailrace"} == set()


@pytest.mark.parametrize(
    "names", ["tailrace", "tailrace.handles.client, tailrace.handles.model, tailrace.cli.commands.predict"]
)
def test_only_who_asks_asynchronously_imports_what_that_needs(names):
    program = f"import sys, {names}; print(*sys.modules); tailrace.AsyncClient; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    before, after = (set(line.split()) for line in done.stdout.splitlines())
    its = {
        "asyncio",
        "concurrent.futures",
        "tailrace.asynchronous.client",
        "tailrace.asynchronous.handles",
        "tailrace.asynchronous.worker_threads",
    }
    assert before & its == set()
    assert its <= after


@pytest.mark.parametrize("module", ["tailrace", "tailrace.handles.client", "tailrace.asynchronous.client"])
def test_importing_the_package_brings_no_library(module):
    program = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert tops(json.loads(done.stdout)) - sys.stdlib_module_names - {"tailrace", "__main__"} == set()
