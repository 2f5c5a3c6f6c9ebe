"""Post one observation: features and the target that the job measured. It never delays or fails the job.

The command takes at most --deadline seconds. An observation that can't be delivered is stored on disk, in the spool, for
`tailrace flush`. The exit code is 0 even then, and one line on standard error says so.

Inside a job of Slurm, Flux, PBS or LSF the idempotency key is made from cluster, job, array task, restart count and the
observation itself. The same observation posted twice by the same run of a job counts once; three different ones count three
times; a requeued run's observation is a new one. With --step, the step's name replaces the observation in the key: the
step counts once, even if it is measured again. Outside of a job each call is a new observation.

--file posts each row of a file: CSV with a header line (the target's column is y, or what --y says), or one JSON object
per line, such as {"x": {"x": 8}, "y": 120.3}. Files that `tailrace export` wrote work too. Each row counts once: if
interrupted, run the same command again to resume. --file stores nothing in the spool, and its exit codes are those of --strict.

examples:
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3 --step equilibration --source input=melt.in
  tailrace post bonds length=2.51 pair=Cu-Zr --y -0.87 --strict || echo "the server does not answer"
  tailrace post lammps-runtime --file runs.csv --y loop_time

Values are numbers, true, false, or else text. If the stream declares text under a name, or has always had text there,
commit=45e7 stays text. Leading zeros always mean text: lot=007. For everything else, write JSON after :=, or put text in
double quotes that the shell does not remove:
  tailrace post builds commit='"45e7"' tries:=3 --y 120.3

exit codes with --strict (without it always 0):
  0  delivered
  1  stored in the spool: the server does not answer, or refuses the token
  2  the command line is not valid: nothing was posted
  3  neither delivered nor stored: the observation is on standard error
  4  the server will never accept it: stored in refused/ in the spool, with the reason
"""

from __future__ import annotations

import os

from tailrace.cli.arguments import parse_features, parse_seconds, parse_source, parse_target
from tailrace.cli.messages import OK, PROBLEM, UNUSABLE, say
from tailrace.errors import Unusable
from tailrace.observations.text_values import as_utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tailrace.posting.post import Posted

LOST, REFUSED = 3, 4
PER_REQUEST = 30.0
"""The shortest deadline, in seconds, of a request of --file."""
MOST_WARNINGS = 5
"""Warnings of the server that are shown of a file: each request may have its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream, such as lammps-runtime")
    parser.add_argument("features", nargs="*", metavar="name=value", help="the features")
    parser.add_argument(
        "--y",
        metavar="VALUE",
        help="the target: what the job measured; with --file, the name of its column (default: y)",
    )
    parser.add_argument(
        "--file", metavar="FILE", help="post many observations: .csv, or JSON lines; - reads standard input"
    )
    parser.add_argument(
        "--key", type=as_utf8, metavar="KEY",
        help="idempotency key of the observation (default: made from the job); with --file, the name of a column of keys",
    )  # fmt: skip
    parser.add_argument(
        "--step", type=as_utf8, metavar="STEP", help="which observation of the job this is, if it posts several"
    )
    parser.add_argument(
        "--source", action="append", default=[], metavar="name=value", help="where it came from; may be repeated"
    )
    parser.add_argument(
        "--deadline", type=parse_seconds, default=5.0, metavar="SECONDS", help="for everything (default: %(default)g)"
    )
    parser.add_argument(
        "--spool", metavar="DIR", help="where it is stored if it can't be delivered (default: TAILRACE_SPOOL)"
    )
    parser.add_argument("--strict", action="store_true", help="fail if the observation was not delivered")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.observations.idempotency_keys import job_of
    from tailrace.posting.post import make_observation, post_observation

    if options.file is not None:
        return _post_file(options)
    if options.y is None:
        raise Unusable("the following arguments are required: --y")
    x = parse_features(options.features)
    if not x:
        raise Unusable("there is no feature: expected name=value, such as x=8")
    source = parse_source(options.source)
    if (job := job_of()) is not None:
        source = {"job": job, **source}
    y, y_text = parse_target(options.y)
    made = make_observation(x, y, options.key, source, options.step, y_text)
    posted = post_observation(options.stream, made, server=options.url, spool=options.spool, deadline=options.deadline)
    _tell(posted, made["y"], options.json)
    if posted.delivered or not options.strict:
        return OK
    return LOST if posted.kept is None else REFUSED if posted.refused else PROBLEM


def _post_file(options: argparse.Namespace) -> int:
    from tailrace.cli.observation_files import observations_in
    from tailrace.display.progress_bar import ProgressBar
    from tailrace.errors import TailraceError
    from tailrace.posting.bulk import send_rows, with_keys
    from tailrace.transport.server import Server

    if options.features or options.step is not None or options.spool is not None:
        raise Unusable("features, --step and --spool go with one observation, not with --file")
    rows = with_keys(observations_in(options.file, options.y or "y", options.key), parse_source(options.source))
    server, bar, trouble = Server(options.url), ProgressBar(None), None
    new = known = refused = warned = 0
    try:
        for sent in send_rows(server, options.stream, rows, max(options.deadline, PER_REQUEST)):
            new, known, refused = new + sent.new, known + sent.known, refused + len(sent.refused)
            if sent.warning and warned < MOST_WARNINGS:
                warned += 1
                bar.clear()
                say(sent.warning)
            for place, reason in sent.refused:
                bar.clear()
                say(f"refused for good: {place}: {reason}")
            bar.show(new + known + refused)
    except TailraceError as error:
        trouble = error
    bar.clear()
    if trouble is None and not (new or known or refused):
        say(f"{options.file} holds no observations")
    if options.json:
        import json

        _print(json.dumps({"posted": new, "known_before": known, "refused": refused}))
    else:
        _print(f"tailrace: {new} posted to {options.stream}, {known} known before, {refused} refused")
    if trouble is not None:
        fault = isinstance(trouble, Unusable)
        say(
            f"not everything was posted: {trouble}; {'correct this and ' if fault else ''}run the same command again to resume"
        )
        return UNUSABLE if fault else PROBLEM
    return REFUSED if refused else OK


def failed(error: Exception, arguments: Sequence[str]) -> int:
    """Report that nothing was posted, with the arguments, which are stored nowhere else. The job continues."""
    import shlex

    what = str(error) if isinstance(error, Unusable) else f"{type(error).__name__}: {error}"
    say(f"nothing posted: {what} (see tailrace post --help); given: {' '.join(map(shlex.quote, arguments))}")
    is_fatal = any(given == "--strict" or given.startswith("--file") for given in arguments)
    return UNUSABLE if is_fatal else OK


def _tell(posted: Posted, y: object, as_json: bool) -> None:
    if as_json:
        import json

        shown = {
            "delivered": posted.delivered,
            "stream": posted.stream,
            "key": posted.key,
            "answer": posted.answer,
            "kept": None if posted.kept is None else str(posted.kept),
            "refused": posted.refused,
            "reason": posted.reason,
        }
        _print(json.dumps(shown))
    elif posted.delivered:
        again = ", known before" if posted.known_before else ""
        _print(f"tailrace: observation {posted.number} of {posted.stream}: {y}{again}")
        for name, why in posted.skipped.items():
            say(f"model {name} could not learn it ({why}); the observation is in the stream")
    if posted.warning:
        say(posted.warning)
    if posted.refused and posted.kept is not None:
        say(f"refused for good: {posted.reason}; kept as {posted.kept}")
    elif not posted.delivered:
        kept = "" if posted.kept is None else f"; kept as {posted.kept} for `tailrace flush`"
        say(f"not delivered: {posted.reason}{kept}")


def _print(line: str) -> None:
    # If the job's output can't be written (a full disk, a closed pipe), the exit code must not change.
    try:
        os.write(1, f"{line}\n".encode(errors="replace"))
    except OSError:
        pass
