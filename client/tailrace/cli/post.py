"""Post one observation: features and the target that the job measured. It never hurts the job that posts it.

Everything together takes at most --deadline seconds. What can't be delivered is kept on disk, in the spool, for
`tailrace flush`, and the exit code is 0 all the same, after one line on standard error.

Inside a job of Slurm, Flux, PBS or LSF the idempotency key is made from cluster, job, array task, restart count and
what is posted: the same observation posted twice by the same run of a job counts once, three different ones are three,
and a requeued run's is another one. --step takes the place of what is posted: the step of that name counts once, even if
it is measured again. Outside of any job each call is an observation of its own.

--file posts each row of a file: CSV with a line of names (the target's is y, or what --y says), or one JSON object a line,
such as {"x": {"x": 8}, "y": 120.3}; what `tailrace export` wrote, too. Each row counts once: where it was interrupted, the same
command goes on. Nothing is kept in the spool, and the exit codes are those of --strict.

examples:
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3
  tailrace post lammps-runtime x=8 y=8 z=16 --y 120.3 --step equilibration --source input=melt.in
  tailrace post bonds length=2.51 pair=Cu-Zr --y -0.87 --strict || echo "the server is away"
  tailrace post lammps-runtime --file runs.csv --y loop_time

Values are numbers, true, false, or else text. Where the stream declares text under a name, or has always had text there,
commit=45e7 stays text. Leading zeros make a text anywhere: lot=007. For the rest, JSON follows :=, and a text stands in
double quotes, which the shell must leave there:
  tailrace post builds commit='"45e7"' tries:=3 --y 120.3

exit codes with --strict (without it always 0):
  0  delivered
  1  kept in the spool: the server is away, or wants another token
  2  the command line can't be used: nothing was posted
  3  neither delivered nor kept: the observation is on standard error
  4  the server refused it for good: set aside in the spool, with the reason
"""

from __future__ import annotations

import os

from tailrace.cli import OK, PROBLEM, UNUSABLE, say
from tailrace.cli.arguments import pairs, seconds, source_pairs, value_and_text
from tailrace.errors import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tailrace.posting import Posted

LOST, REFUSED = 3, 4
PER_REQUEST = 30.0
"""Seconds that a request of --file may take at least."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stream", help="the stream, such as lammps-runtime")
    parser.add_argument("features", nargs="*", metavar="name=value", help="the features")
    parser.add_argument(
        "--y",
        metavar="VALUE",
        help="the target: what the job measured; with --file, the name of its column (default: y)",
    )
    parser.add_argument("--file", metavar="FILE", help="many observations: .csv, or JSON lines; - reads standard input")
    parser.add_argument(
        "--key", metavar="KEY",
        help="names this observation for ever (default: made from the job); with --file, the name of a column of keys",
    )  # fmt: skip
    parser.add_argument("--step", metavar="STEP", help="which observation of the job this is, where it posts several")
    parser.add_argument(
        "--source", action="append", default=[], metavar="name=value", help="where it came from; may be repeated"
    )
    parser.add_argument(
        "--deadline", type=seconds, default=5.0, metavar="SECONDS", help="for everything (default: %(default)g)"
    )
    parser.add_argument("--spool", metavar="DIR", help="where it is kept if need be (default: TAILRACE_SPOOL)")
    parser.add_argument("--strict", action="store_true", help="fail where the observation was not delivered")
    parser.add_argument("--json", action="store_true", help="print what became of it as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.keys import job_of
    from tailrace.posting import observation, post_made

    if options.file is not None:
        return _post_file(options)
    if options.y is None:
        raise Unusable("the following arguments are required: --y")
    x = pairs(options.features)
    if not x:
        raise Unusable("there is no feature: expected name=value, such as x=8")
    source = source_pairs(options.source)
    if (job := job_of()) is not None:
        source = {"job": job, **source}
    y, y_text = value_and_text("--y", options.y)
    made = observation(x, y, options.key, source, options.step, y_text)
    posted = post_made(options.stream, made, server=options.url, spool=options.spool, deadline=options.deadline)
    _tell(posted, made["y"], options.json)
    if posted.delivered or not options.strict:
        return OK
    return LOST if posted.kept is None else REFUSED if posted.refused else PROBLEM


def _post_file(options: argparse.Namespace) -> int:
    from tailrace.bulk import keyed, send
    from tailrace.cli.rows import observations_in
    from tailrace.errors import TailraceError
    from tailrace.progress import Bar
    from tailrace.server import Server

    if options.features or options.step is not None or options.spool is not None:
        raise Unusable("features, --step and --spool go with one observation, not with --file")
    rows = keyed(observations_in(options.file, options.y or "y", options.key), source_pairs(options.source))
    server, bar, trouble = Server(options.url), Bar(None), None
    new = known = refused = 0
    try:
        for sent in send(server, options.stream, rows, max(options.deadline, PER_REQUEST)):
            new, known, refused = new + sent.new, known + sent.known, refused + len(sent.refused)
            if sent.warning:
                bar.clear()
                say(sent.warning)
            for place, reason in sent.refused:
                bar.clear()
                say(f"refused for good: {place}: {reason}")
            bar.show(new + known + refused)
    except TailraceError as error:
        trouble = error
    bar.clear()
    if options.json:
        import json

        _print(json.dumps({"posted": new, "known_before": known, "refused": refused}))
    else:
        _print(f"tailrace: {new} posted to {options.stream}, {known} known before, {refused} refused")
    if trouble is not None:
        fault = isinstance(trouble, Unusable)
        say(f"not all was posted: {trouble}; {'put right, ' if fault else ''}the same command goes on from there")
        return UNUSABLE if fault else PROBLEM
    return REFUSED if refused else OK


def failed(error: Exception, arguments: Sequence[str]) -> int:
    """Nothing was posted. What was given is told, as nothing else holds it; and the job goes on."""
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
            say(f"model {name} could not learn it ({why}); it is in the stream all the same")
    if posted.warning:
        say(posted.warning)
    if posted.refused and posted.kept is not None:
        say(f"refused for good: {posted.reason}; kept as {posted.kept}")
    elif not posted.delivered:
        kept = "" if posted.kept is None else f"; kept as {posted.kept} for `tailrace flush`"
        say(f"not delivered: {posted.reason}{kept}")


def _print(line: str) -> None:
    # Where the job's output can't be written (a full disk, a closed pipe), that must not become an exit code.
    try:
        os.write(1, f"{line}\n".encode(errors="replace"))
    except OSError:
        pass
