"""`python -m lammps_jobs COMMAND`: sweeps, the demo, epilogues, logs, bond strengths."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "sweep": ("lammps_jobs.sweep.command", "run many jobs; models learn their results, or predict them as a test"),
    "epilogue": ("lammps_jobs.epilogue", "report a finished job; the last line of a job script"),
    "log": ("lammps_jobs.logs.command", "print the content of LAMMPS logs as JSON, one line for each log"),
    "bonds": ("lammps_jobs.bonds.command", "bond strengths: make and label cells, learn from them, predict"),
    "demo": ("lammps_jobs.demo.command", "run the demo, as `make demo` does: a server, thirty jobs, four models"),
}


def main() -> int:
    command, *rest = sys.argv[1:] or ["--help"]
    if command in COMMANDS:
        return int(importlib.import_module(COMMANDS[command][0]).main(rest))
    lines = [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
    usage = "usage: python -m lammps_jobs COMMAND …\n\n" + "\n".join([*lines, "", "COMMAND --help shows the options."])
    if command in ("-h", "--help"):
        print(usage)
        return 0
    print(f"lammps_jobs: there is no command {command!r}\n{usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
