"""`python -m lammps_jobs COMMAND`: a sweep of LAMMPS jobs, the demo, the epilogue of a job, what a log says, bonds."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "sweep": ("lammps_jobs.sweep.command", "run many jobs, whose results models learn or are put to the test with"),
    "epilogue": ("lammps_jobs.epilogue", "report a finished job; the last line of a job script"),
    "log": ("lammps_jobs.log_command", "print what LAMMPS logs say, one JSON object each"),
    "bonds": ("lammps_jobs.bonds.command", "bond strengths: cells made, labeled, learned from and predicted"),
    "demo": ("lammps_jobs.demo", "a server, thirty jobs, four models: what `make demo` runs"),
}


def main() -> int:
    command, *rest = sys.argv[1:] or ["--help"]
    if command in COMMANDS:
        return int(importlib.import_module(COMMANDS[command][0]).main(rest))
    lines = [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
    usage = "usage: python -m lammps_jobs COMMAND …\n\n" + "\n".join([*lines, "", "COMMAND --help says more."])
    if command in ("-h", "--help"):
        print(usage)
        return 0
    print(f"lammps_jobs: there is no command {command!r}\n{usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
