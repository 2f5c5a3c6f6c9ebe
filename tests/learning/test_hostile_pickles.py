"""Uploads that attack the server: each is refused by name, nothing of it runs, and it takes next to nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from river import linear_model, stats

from server.learning import pickle_machine
from server.learning.pickles import load_estimator
from server.streams.errors import Invalid
from tests.learning.hostile_payloads import BOMBS, CANARY, PAYLOADS, inside, number

pytestmark = pytest.mark.one_database  # bytes in, a refusal out


@pytest.fixture(autouse=True)
def canary():
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists(), "the upload ran a command"


@pytest.mark.parametrize(("data", "named"), PAYLOADS.values(), ids=PAYLOADS)
def test_it_is_refused_by_name_and_nothing_runs(data: bytes, named: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(Invalid) as caught:
        load_estimator(data)
    assert named in caught.value.message
    assert len(caught.value.message) < 700
    assert not {"antigravity", "runpy"} & (set(sys.modules) - modules), "the upload had a module imported"


IN_A_PROCESS_EACH = """
import json, os, resource, signal, sys, traceback
from server.learning.pickles import load_estimator
from server.streams.errors import Invalid
from tests.learning.hostile_payloads import *
load_estimator(dill.dumps(compose.Select("a")))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for line in sys.stdin:
    if os.fork() == 0:
        try:
            signal.alarm(180)
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
            data = eval(json.loads(line))
            try:
                load_estimator(data)
                said = ""
            except Invalid as error:
                said = error.message
            print(json.dumps(said), flush=True)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    print(json.dumps(os.waitstatus_to_exitcode(os.wait()[1])), flush=True)
"""
"""Loads what comes in, each in a process of its own that has imported everything already: what it says, and its exit code."""


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[int, str]]]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "client")])
    trouble = tmp_path_factory.mktemp("bombs") / "stderr"
    with (
        trouble.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS_EACH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "RUST_BACKTRACE": "0"},
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        to, by = process.stdin, process.stdout

        def load(expression: str) -> tuple[int, str]:
            """The exit code, and what the refusal said, or else the end of standard error."""
            to.write(json.dumps(expression) + "\n")
            to.flush()
            said = ""
            for line in by:
                answer = json.loads(line)
                if isinstance(answer, int):
                    return answer, said or trouble.read_text()[-2000:]
                said = answer
            raise AssertionError(trouble.read_text()[-2000:])

        yield load


@pytest.mark.parametrize(("expression", "named"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_within_a_gigabyte(
    expression: str, named: str, loader: Callable[[str], tuple[int, str]]
) -> None:
    """In a process of its own, whose memory is limited, so that one that goes off is seen to."""
    code, said = loader(expression)
    assert code == 0, said
    assert named in said


def test_a_refused_upload_leaves_river_as_it_was() -> None:
    before = dict(vars(linear_model.LinearRegression)), dict(vars(stats.Mean))
    for data, _ in PAYLOADS.values():
        with pytest.raises(Invalid):
            load_estimator(data)
    assert (dict(vars(linear_model.LinearRegression)), dict(vars(stats.Mean))) == before


def test_keys_chosen_to_collide_end_in_time(monkeypatch) -> None:
    monkeypatch.setattr(pickle_machine, "MAX_SECONDS", -1.0)
    with pytest.raises(Invalid, match="longer than"):
        load_estimator(inside(b"}(" + b"".join(number(i) + b"N" for i in range(1000)) + b"u"))
