"""Uploads a log as an agent does: ``python -m bench.tailed_log URL TOKEN_FILE STEP FOLDER LIMIT``.

It reads lines from standard input, each a size in bytes and ``live`` or ``ended``. The log grows to that size, and what is new
of it is sent. Each answer is a line of JSON: the memory of this process now and at most so far, in bytes.
"""

import json
import os
import sys
from pathlib import Path

from tailrace.agent.held_step import HeldStep
from tailrace.agent.job_script import OUTPUT
from tailrace.agent.log_upload import send_log
from tailrace.agent.server_calls import ServerCalls

LINE = b"SCF step 17: energy -1234.56789 eV, change 1.2e-07\n"
BLOCK = LINE * 20_000


def memory(process: int | str = "self") -> dict[str, int]:
    """Return resident memory of a process, now and at most, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return {"now": 1024 * int(found["VmRSS"]), "most": 1024 * int(found["VmHWM"])}


def grow(path: Path, size: int) -> None:
    """Write lines until the file has ``size`` bytes."""
    with open(path, "ab") as file:
        left = size - file.tell()
        while left > 0:
            left -= file.write(BLOCK[:left])


def main() -> None:
    url, token_file, step, folder, limit = sys.argv[1:]
    calls, held = ServerCalls(url, Path(token_file)), HeldStep(step, 1, Path(folder))
    for line in sys.stdin:
        size, how = line.split()
        grow(held.folder / OUTPUT, int(size))
        while not send_log(calls, held, int(limit), ended=how == "ended"):
            pass
        os.write(1, json.dumps(memory()).encode() + b"\n")


if __name__ == "__main__":
    main()
