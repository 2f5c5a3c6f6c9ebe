"""Submit calculations to the group's clusters, and follow them.

examples:
  tailrace calc submit tblite --structure water.xyz method=GFN2-xTB
  tailrace calc submit quantum-espresso --structure cell.cif --scan field=0,0.002,0.004     each starts from the former
  tailrace calc list --state running
  tailrace calc show 12
  tailrace calc log 12 --step field-2
  tailrace calc fetch 12 --to results/           save the files of its results
  tailrace calc fetch 12 --report pdf            and its report, for people
  tailrace calc cancel 12 --reason outdated
  tailrace calc retry 12                         run again what failed
  tailrace calc approve 12                       as a moderator
  tailrace calc delete 12 --confirm "my scan"    with its results; what models learned from it stays

With --wait, submit and show wait until the calculation has ended. The exit code is then 1 if it has no valid results.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from tailrace.cli.messages import OK, say
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.calculation import Calculation
    from tailrace.handles.client import Client

ACTIONS = ("submit", "list", "show", "log", "fetch", "cancel", "retry", "approve", "delete")
FILTERS = ("state", "owner", "cluster", "program", "text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("what", nargs="?", help="the program to submit to, or the number of a calculation")
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="parameters of the program, for submit")
    parser.add_argument("--structure", metavar="FILE", help="a file (.xyz, .cif, POSCAR), or a structure's name")
    parser.add_argument("--name", help="a name for people (default: the program)")
    parser.add_argument("--scan", metavar="NAME=A,B,…", help="a step for each value of one parameter")
    parser.add_argument("--independent", action="store_true", help="steps of a scan don't start from the former one")
    parser.add_argument("--analysis", action="append", metavar="NAME", help="an analysis to run; may be repeated")
    parser.add_argument("--processes", type=int, metavar="N", help="MPI processes of each step")
    parser.add_argument("--nodes", type=int, metavar="N", help="nodes of each step")
    parser.add_argument("--time", metavar="TIME", help="wall time of each step, such as 1h30m")
    parser.add_argument("--priority", type=int, metavar="N", help="0 to 100, larger is sooner")
    parser.add_argument("--again", action="store_true", help="run it although the same was calculated before")
    parser.add_argument("--wait", action="store_true", help="wait until it has ended")
    parser.add_argument("--cluster", metavar="NAME", help="run on this cluster, or list only its calculations")
    parser.add_argument("--state", metavar="STATE", help="list only calculations in this state")
    parser.add_argument("--owner", metavar="USER", help="list only calculations of this user")
    parser.add_argument("--program", metavar="NAME", help="list only calculations with this program")
    parser.add_argument("--text", metavar="TEXT", help="list only calculations whose name contains this")
    parser.add_argument("--step", metavar="NAME", help="the step whose log to print (default: the last that has begun)")
    parser.add_argument("--to", metavar="DIR", default=".", help="where to save files (default: this directory)")
    parser.add_argument(
        "--report", metavar="FORMAT", help="fetch the report, too: pdf, html, json or rocrate (all of it)"
    )
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the log of the calculation")
    parser.add_argument(
        "--confirm", metavar="NAME", help="the calculation's name, for delete; without it the command asks for it"
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.action == "list":
        return _list(client, options)
    if options.what is None:
        wanted = "the program" if options.action == "submit" else "the number of a calculation"
        raise Unusable(f"{options.action} needs {wanted}: tailrace calc {options.action} …")
    if options.action == "submit":
        return _submit(client, options)
    if options.parameters:
        raise Unusable(f"{options.parameters[0]!r} is too much: {options.action} takes the number of one calculation")
    calculation = client.calculation(_number(options.what))
    if options.action == "show":
        return _show(calculation, options)
    if options.action == "log":
        print(_printable(calculation.log(options.step)), end="")
    elif options.action == "delete":
        _delete(calculation, options)
    elif options.action == "fetch":
        for path in calculation.fetch(options.to):
            print(path)
        if options.report is not None:
            print(calculation.fetch_report(options.to, options.report))
    else:
        getattr(calculation, options.action)(options.reason)
        print(f"tailrace: calculation {calculation.id} is {calculation.state}")
    return OK


def _list(client: Client, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables

    if options.what is not None:
        raise Unusable(f"list takes no {options.what!r}: use --text, --program or --state")
    filters = {name: getattr(options, name) for name in FILTERS if getattr(options, name) is not None}
    found = client.calculations(**filters)
    print_json({"calculations": list(found)}) if options.json else print_tables([found.table])
    return OK


def _submit(client: Client, options: argparse.Namespace) -> int:
    calculation = client.calculate(
        options.what, options.structure, name=options.name, parameters=dict(map(_parameter, options.parameters)),
        scan=None if options.scan is None else _scan(options.scan), chained=not options.independent,
        cluster=options.cluster, priority=options.priority, resources=_resources(options), analyses=options.analysis,
        again=options.again or None,
    )  # fmt: skip
    if calculation.identical:
        say(f"the same was calculated before, as calculation {calculation.id}: --again runs it once more")
    return _show(calculation, options)


def _show(calculation: Calculation, options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_facts, print_json

    if options.wait:
        calculation.wait()
    info = calculation.info()
    if options.json:
        print_json(info.data)
        return OK
    print_facts(info)
    for step in info.data["chain"]:
        values = (step["result"] or {}).get("values", {})
        told = ", ".join(f"{name} {one['value']} {one.get('unit') or ''}".rstrip() for name, one in values.items())
        print(f"  {step['name']}: {step['state']}{f', {told}' if told else ''}")
    return OK


def _delete(calculation: Calculation, options: argparse.Namespace) -> None:
    from tailrace.cli.confirmation import confirmed

    info = calculation.info()
    calculation.delete(confirmed("calculation", info.data["name"], options.confirm, info))
    print(f"tailrace: calculation {calculation.id} is deleted")


def _resources(options: argparse.Namespace) -> dict[str, int] | None:
    from tailrace.durations import parse_duration

    found = {"nodes": options.nodes, "processes": options.processes}
    found["seconds"] = None if options.time is None else int(parse_duration(options.time))
    return {name: value for name, value in found.items() if value is not None} or None


def _parameter(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not name or not equals:
        raise Unusable(f"{word!r} is not a parameter: expected name=value, such as method=GFN2-xTB")
    return name, _value(text)


def _scan(word: str) -> dict[str, list[Any]]:
    name, equals, text = word.partition("=")
    if not name or not equals or not text:
        raise Unusable(f"--scan is {word!r}: expected a parameter and its values, such as field=0,0.002,0.004")
    return {name: [_value(one) for one in text.split(",")]}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Unusable(f"{text!r} is not the number of a calculation: `tailrace calc list` shows them")
    return int(text)


def _printable(text: str) -> str:
    """Returns a job's output without what a terminal would obey."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
