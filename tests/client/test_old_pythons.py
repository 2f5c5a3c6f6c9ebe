"""Clusters are old: the core of the client on every Python from 3.9 to 3.13 that is at hand."""

import os
import shutil
import subprocess
import sys
import warnings

import pytest

from tests.client.listeners import listening, replies, silent
from tests.client.running import NOBODY, environment, kept, receipt
from tests.pythons import PYTHONS, VERSIONS
from tests.serving import ROOT

pytestmark = pytest.mark.one_database

FIRST_AND_REST = [
    pytest.param(version, marks=() if version == min(PYTHONS, key=VERSIONS.index) else pytest.mark.combinations)
    for version in PYTHONS
]
"""The oldest is the one that most is missing in: the others are combinations."""

NEED_LIBRARIES = ("tailrace.estimators",)


def run(python, *arguments, **environ):
    return subprocess.run(
        [python, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'client')!r}); " + arguments[0], *arguments[1:]],
        env=environment(**environ), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


COMMAND = "from tailrace.cli import main; sys.exit(main())"


def test_it_says_which_are_not_at_hand():
    missing = [version for version in VERSIONS if version not in PYTHONS]
    if missing:
        warnings.warn(f"not tried, as it is not installed: Python {', '.join(missing)}", stacklevel=1)
    assert PYTHONS, "there is no Python to try"


@pytest.mark.parametrize("version", FIRST_AND_REST)
def test_it_compiles_and_all_of_the_core_can_be_imported(version, tmp_path):
    copied = shutil.copytree(
        ROOT / "client" / "tailrace", tmp_path / "tailrace", ignore=shutil.ignore_patterns("__pycache__")
    )
    done = subprocess.run(
        [PYTHONS[version], "-W", "error", "-m", "compileall", "-q", str(copied)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "")
    program = f"""
import importlib, pkgutil, tailrace
for one in pkgutil.walk_packages(tailrace.__path__, "tailrace."):
    if not one.name.startswith({NEED_LIBRARIES!r}) and not one.name.endswith("__main__"):
        importlib.import_module(one.name)
for name in tailrace.__all__:
    getattr(tailrace, name)
"""
    done = run(PYTHONS[version], program)
    assert (done.returncode, done.stderr) == (0, "")


ASYNCHRONOUS = """
import asyncio, os, sys
from tailrace import AsyncClient, TailraceError

async def main(url, nobody):
    async with AsyncClient(url, "") as c:
        posted = await asyncio.gather(*(c.post("s", {"x": x}, 1.0) for x in range(40)))
        numbers = [one.number async for one in some(c)]
        asking = asyncio.ensure_future(AsyncClient(nobody, "", deadline=60).model("m").info())
        await asyncio.sleep(0)
        asking.cancel()
        try:
            await asking
        except asyncio.CancelledError:
            print(len(posted), {one.number for one in posted}, numbers)
    try:
        await c.models.keys()
    except TailraceError as error:
        print(error)

async def some(c):
    for _ in range(2):
        yield await c.stream("s").post({"x": 1}, 1.0)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("version", FIRST_AND_REST)
def test_it_asks_asynchronously(version, tmp_path):
    with listening(replies(receipt())) as listener, listening(silent) as mute:
        done = run(PYTHONS[version], ASYNCHRONOUS, listener.url, mute.url, TAILRACE_SPOOL=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "40 {1} [1, 1]",
        "this AsyncClient is closed: make another one",
    ]


@pytest.mark.parametrize("version", FIRST_AND_REST)
def test_it_posts_keeps_and_flushes(version, tmp_path):
    python, spool = PYTHONS[version], str(tmp_path / "spool")
    given = ["post", "s", "x=8", "--y", "-1.5e-3", "--spool", spool]
    with listening(replies(receipt())) as listener:
        done = run(python, COMMAND, *given, "--url", listener.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "tailrace: observation 1 of s: -0.0015\n"
        away = run(python, COMMAND, *given, "--url", NOBODY, SLURM_JOB_ID="7")
        assert away.returncode == 0
        assert [one["y"] for one in kept(tmp_path / "spool")] == [-0.0015]
        done = run(python, COMMAND, "flush", "--spool", spool, "--url", listener.url, "--from", NOBODY)
        assert (done.returncode, done.stderr) == (0, "")
        assert "delivered 1" in done.stdout
    done = run(python, COMMAND, "post", "--help")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.combinations
def test_the_tests_of_the_commands_hold_on_the_oldest(tmp_path):
    version = min(PYTHONS, key=VERSIONS.index)
    if PYTHONS[version] == sys.executable:
        pytest.skip("these tests run on the oldest Python at hand already")
    tests = [f"tests/client/test_{name}.py" for name in ("post_command", "flush_command")]
    variables = {"TAILRACE_TEST_CLIENT_PYTHON": PYTHONS[version], "TAILRACE_TEST_DIR": os.environ["TAILRACE_TEST_DIR"]}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-k", "not real_server", "-p", "no:cacheprovider", *tests],
        cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
