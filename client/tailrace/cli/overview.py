"""The overview that `tailrace --help` prints: commands, settings, first steps, exit codes."""

from __future__ import annotations

from tailrace.cli.command_list import COMMANDS
from tailrace.cli.output import bold

__all__ = ["print_overview"]

AFTER = """\
environment:
  TAILRACE_URL       the server, such as http://login1:8080 (default: http://127.0.0.1:8080)
  TAILRACE_TOKEN     the token to authenticate with
  TAILRACE_SPOOL     directory for observations that can't be delivered (default: ~/.local/state/tailrace/spool)
  TAILRACE_SPOOL_MB  the most megabytes that it may take (default: 1024)
  TAILRACE_TRACKING_SPOOL   directory for runs of trainings until they are sent (default: tracking in the spool)
  TAILRACE_CLUSTER   the cluster's name, if the scheduler does not set it
  TAILRACE_CA_FILE   certificates of your site's certificate authority
  HTTPS_PROXY, HTTP_PROXY and NO_PROXY are used.

first steps:
  tailrace create runtime --stream lammps-runtime --recipe runtime --target loop_time --unit s
                                                         a model, and the stream that it learns from
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3    a job posts what it measured
  tailrace predict runtime x=8 y=16 z=8                  the model predicts the next job

exit codes:
  0  done     1  error of the server or the disk     2  the command line is not valid     130  interrupted
  `tailrace post` is different: it never fails the job that calls it (see its --help)

`tailrace COMMAND --help` shows more, with examples; `tailrace completion --help` shows how to complete names with Tab.
"""


def print_overview() -> None:
    """Print the overview."""
    width = max(map(len, COMMANDS))
    after = "\n".join(bold(line) if line.endswith(":") and line[0] != " " else line for line in AFTER.split("\n"))
    commands = "\n".join(f"  {name:{width}}  {about}" for name, about in COMMANDS.items())
    print(f"{bold('usage:')} tailrace COMMAND [OPTIONS]\n")
    print("Post what jobs measured to models that learn from it at once, and get predictions.\n")
    print(f"{bold('commands:')}\n{commands}\n\n{after}", end="", flush=True)
