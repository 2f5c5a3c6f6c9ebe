"""The script of a step's job: it runs the step's command once, and says how it ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tailrace.agent.site_file import ProgramTable

__all__ = ["BEGUN", "ENDED", "OUTPUT", "SCRIPT", "job_script"]

SCRIPT, OUTPUT, ENDED = "job.sh", "output.txt", "ended.json"
BEGUN = "begun.{fence}"

PATIENCE = 25
"""Longest pause between two tries to write how the job ended, s. It starts at one and grows by one: five minutes in all."""

TEXT = """\
#!/bin/sh
# Made by the Tailrace agent for fence {fence} of step {step}.
cd {folder} || exit 1
# Another attempt may have taken over.
[ "$(cat ../fence)" = {fence} ] || exit 0
# Only one job makes the directory, however often the script is started.
mkdir begun.{fence} 2>/dev/null || exit 0
# Seconds since the boot: a clock may be set while the job runs. `null` where the system does not tell.
uptime() {{
    cut -d " " -f 1 /proc/uptime 2>/dev/null || echo null
}}
began=$(date +%s)
up=$(uptime)
host=$(uname -n | tr -cd 'A-Za-z0-9._-')
signal=
child=
on_signal() {{
    signal=$1
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}}
trap 'on_signal TERM' TERM
trap 'on_signal INT' INT
trap 'on_signal HUP' HUP
(
    trap - TERM INT HUP
{setup}
    exec {command}
) </dev/null >{output} 2>&1 &
child=$!
wait "$child"
code=$?
# A signal ends `wait` before the command has ended.
while [ -n "$signal" ] && kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
ended=$(date +%s)
up="[$up, $(uptime)]"
# The disk may be full: what ran for hours is worth some minutes of patience.
pause=1
until printf '{{"exit_code": %s, "signal": "%s", "host": "%s", "began": %s, "ended": %s, "uptime": %s}}\\n' \\
    "$code" "$signal" "$host" "$began" "$ended" "$up" 2>/dev/null >ended.part && mv ended.part {ended} 2>/dev/null
do
    [ "$pause" -lt {patience} ] || break
    sleep "$pause"
    pause=$((pause + 1))
done
exit "$code"
"""


def job_script(step: str, fence: int, folder: Path, command: Sequence[str], table: ProgramTable) -> str:
    """Returns the script of a job.

    Parameters
    ----------
    step, fence
        The attempt.
    folder
        Its folder.
    command
        Argument list. No word of it is read by a shell.
    table
        The site's table of the program, with shell lines and modules.
    """
    setup = [*table.setup, *(f"module load {shlex.quote(name)} || exit 1" for name in table.modules)]
    return TEXT.format(
        step=step,
        fence=fence,
        folder=shlex.quote(str(folder)),
        setup="\n".join(f"    {line}" for line in setup) or "    :",
        command=" ".join(map(shlex.quote, command)),
        output=OUTPUT,
        ended=ENDED,
        patience=PATIENCE,
    )
