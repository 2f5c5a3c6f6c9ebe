"""Loads uploads in processes of their own, whose memory and time are limited."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Loader = Callable[[str], tuple[int, str]]

IN_A_PROCESS_EACH = """
import json, os, resource, signal, sys, traceback
from server.learning.pickles.loader import load_estimator
from server.core.errors import Invalid
from tests.learning.hostile_payloads import *
from tests.learning.hostile_limits import LIMITS
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


@contextmanager
def loading(trouble: Path) -> Iterator[Loader]:
    """A function that loads what a Python expression makes: the exit code, and what the refusal said or went wrong.

    Parameters
    ----------
    trouble
        File for standard error.
    """
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "client")])
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
