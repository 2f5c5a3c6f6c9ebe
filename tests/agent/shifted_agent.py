"""Runs an agent whose clock is wrong by some seconds: ``python -m tests.agent.shifted_agent SECONDS FILE``."""

import signal
import sys
import time
from pathlib import Path

real = time.time
shift = float(sys.argv[1])
time.time = lambda: real() + shift

from tailrace.agent.agent import Agent  # noqa: E402 - with that clock
from tailrace.agent.site_file import read_site_file  # noqa: E402

agent = Agent(read_site_file(Path(sys.argv[2])))
signal.signal(signal.SIGTERM, lambda *_: agent.stop())
try:
    sys.exit(agent.run())
finally:
    agent.close()
