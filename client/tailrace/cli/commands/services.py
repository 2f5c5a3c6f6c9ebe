"""Run frozen copies of models as services, and ask them.

A cluster's model agent runs a service as a container: tailrace model-agent. BODY and EXPECTED are JSON; @FILE reads a file, and
- reads standard input.

examples:
  tailrace services list
  tailrace services create runtime-2026 --cluster serving --image sha256:… \\
      --body '{"instances": [[8, 8, 16]]}' --expected '{"predictions": [41.25]}' --memory-mb 512 --wait 60
  tailrace services show runtime-2026
  tailrace services invoke runtime-2026 '{"instances": [[4, 8, 16]]}'
  tailrace services invoke runtime-2026 @points.json
  tailrace services invoke runtime-2026                   the sample that it was created with
  tailrace services stop runtime-2026                     and: run, restart
  tailrace services delete runtime-2026 --confirm runtime-2026

show ends with exit code 0, also of a service that is not healthy. --wait ends with 1 if it is not healthy
in time.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tailrace.cli.arguments import parse_seconds
from tailrace.cli.messages import OK, say
from tailrace.errors import Unusable

if TYPE_CHECKING:
    from tailrace.handles.client import Client
    from tailrace.handles.service import Service

ACTIONS = ("list", "show", "create", "run", "stop", "restart", "delete", "invoke")
OF_CREATE = ("cluster", "image", "expected")
TOLERANCE = 1e-9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("name", nargs="?", help="name of the service")
    parser.add_argument(
        "given", nargs="?", metavar="BODY", help="invoke: what is asked (default: the sample that it was created with)"
    )
    parser.add_argument("--cluster", metavar="NAME", help="create: the cluster whose model agent runs it")
    parser.add_argument("--image", metavar="DIGEST", help="create: NAME@sha256:… or sha256:…")
    parser.add_argument("--body", metavar="BODY", help="create: a sample of what is asked")
    parser.add_argument("--expected", metavar="BODY", help="create: the answer that shows that it is healthy")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, metavar="X",
        help="create: relative difference of numbers that is allowed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, metavar="N", help="create: port of the container (default: 8080)")
    parser.add_argument("--memory-mb", type=int, metavar="MB", help="create: most memory (default: 1024)")
    parser.add_argument("--cpus", type=float, metavar="N", help="create: most CPUs (default: 1)")
    parser.add_argument("--pids", type=int, metavar="N", help="create: most processes (default: 128)")
    parser.add_argument("--start-seconds", type=int, metavar="S", help="create: how long it may take (default: 60)")
    parser.add_argument("--description", metavar="TEXT", help="create: for people")
    parser.add_argument("--model", metavar="NAME", help="create: the registered model that it runs a version of")
    parser.add_argument("--version", type=int, metavar="N", help="create: the number of that version")
    parser.add_argument(
        "--wait", type=parse_seconds, metavar="S", help="create, run, restart: wait so long until it is healthy"
    )
    parser.add_argument("--confirm", metavar="NAME", help="delete: its name again, to delete it without asking")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")


def run(options: argparse.Namespace) -> int:
    from tailrace.cli.output import print_json, print_tables
    from tailrace.handles.client import Client

    client = Client(options.url)
    if options.given is not None and options.action != "invoke":
        raise Unusable(f"{options.action} takes no {options.given!r}: a body is for invoke")
    if options.wait is not None and options.action not in ("create", "run", "restart"):
        raise Unusable(f"{options.action} takes no --wait: it is for create, run and restart")
    if options.action == "list":
        if options.name is not None:
            raise Unusable(f"list takes no {options.name!r}: `tailrace services show {options.name}` shows one service")
        found = client.services()
        print_json({"services": list(found)}) if options.json else print_tables([found.table])
        return OK
    if options.name is None:
        raise Unusable(f"{options.action} needs the name of a service: tailrace services {options.action} NAME")
    return _one(client, client.service(options.name), options)


def _one(client: Client, service: Service, options: argparse.Namespace) -> int:
    from tailrace.cli.confirmation import confirmed
    from tailrace.cli.output import print_facts, print_json

    if options.action == "invoke":
        body = service.info()["sample"].get("body") if options.given is None else _json("the body", options.given)
        print_json(service.invoke(body))
        return OK
    if options.action == "delete":
        confirmed("service", service.name, options.confirm, service.info() if options.confirm is None else None)
        service.delete()
        say(f"service {service.name} is deleted: its agent removes the container at its next sync")
        return OK
    if options.action == "create":
        service = _create(client, options)
    elif options.action != "show":
        getattr(service, options.action)()
    if options.wait is not None:
        service.wait(options.wait)
    info = service.info()
    print_json(info.data) if options.json else print_facts(info)
    return OK


def _create(client: Client, options: argparse.Namespace) -> Service:
    missing = [f"--{name}" for name in (*OF_CREATE, "body") if getattr(options, name) is None]
    if missing:
        raise Unusable(f"create needs {' and '.join(missing)}: tailrace services --help shows an example")
    return client.create_service(
        options.name, options.cluster, options.image, _json("--body", options.body), _json("--expected", options.expected),
        tolerance=options.tolerance, port=options.port, memory_mb=options.memory_mb, cpus=options.cpus, pids=options.pids,
        start_seconds=options.start_seconds, description=options.description, registered_model=options.model,
        model_version=options.version,
    )  # fmt: skip


def _json(what: str, given: str) -> Any:
    """Returns the JSON of a word, of the file that it names, or of standard input."""
    import json
    import sys

    try:
        if given == "-":
            text = sys.stdin.read()
        elif given.startswith("@"):
            with open(given[1:], encoding="utf-8") as file:
                text = file.read()
        else:
            text = given
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{what}: {given} can't be read ({error})") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(
            f"{what} is not JSON ({error}): expected JSON, such as '{{\"instances\": [[8, 8, 16]]}}'"
        ) from None
