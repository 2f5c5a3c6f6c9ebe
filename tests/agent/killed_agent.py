"""Runs an agent that kills itself at its Nth operation: ``python -m tests.agent.killed_agent N FILE OPERATIONS``.

Operations are what the protocol consists of: writes to the journal, syncs, renames, new directories, new processes and
requests. There is an instant before each and one after it. Each instant that was passed is counted in OPERATIONS.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tailrace.agent.agent import Agent
from tailrace.agent.server_calls import ServerCalls
from tailrace.agent.site_file import read_site_file

at, passed, mutex = int(sys.argv[1]), [0], threading.Lock()
counted = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
raw_write = os.write


def instant(what):
    with mutex:
        passed[0] += 1
        raw_write(counted, f"{what}\n".encode())
        if passed[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, *, matters=lambda result: True):
    real = getattr(owner, name)

    def call(*arguments, **options):
        if matters(None):
            instant(f"before {name}")
        result = real(*arguments, **options)
        if matters(result):
            instant(f"after {name}")
        return result

    setattr(owner, name, call)


for name in ("pwrite", "fdatasync", "fsync", "replace", "rename"):
    around(os, name)
around(subprocess.Popen, "__init__")
for name in ("register", "permit", "results", "put_file", "put_log"):
    around(ServerCalls, name)
# An answer with work that is lost; syncs without work are as many as the time allows.
around(ServerCalls, "sync", matters=lambda answer: bool(answer) and bool(answer["work"]))

agent = Agent(read_site_file(Path(sys.argv[2])))
signal.signal(signal.SIGTERM, lambda *_: agent.stop())
try:
    sys.exit(agent.run())
finally:
    agent.close()
