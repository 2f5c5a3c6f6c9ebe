"""Sends requests made from the schema for as long as one likes, to the real application on an empty database.

    python -m tests.fuzz.api --seconds 600 --seed 1 [--only createModel]

It prints each request that is answered otherwise than the schema says, with a line to repeat it, and exits with 1.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from typing import Any

REQUESTS = 20
"""Of one kind, for one operation, before it is the next one's turn."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is sent (default: %(default)s)")
    parser.add_argument("--only", action="append", help="the id of an operation; may be repeated (default: all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-fuzz-") as directory:
        os.environ["TAILRACE_VAR_DIR"] = directory
        os.environ["TAILRACE_AUTH"] = "open"
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from server.runtime.handler import Handler

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0)
    import schemathesis
    from django.test import Client

    from server.api import events
    from tests.api_client import Api
    from tests.fuzz import requests

    ended = threading.Event()
    ended.set()
    events.STOPPING = ended  # an event stream ends at once
    requests.populate(Api(Client(SERVER_NAME="127.0.0.1")))
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", Handler())
    operations = [found.ok() for found in schema.get_all_operations()]
    chosen = [one for one in operations if options.only is None or one.definition.raw["operationId"] in options.only]
    if not chosen:
        names = ", ".join(one.definition.raw["operationId"] for one in operations)
        print(f"no operation is called {' or '.join(options.only)}: expected one of {names}", file=sys.stderr)
        return 2
    sent, failed = 0, {}
    until, seed = time.monotonic() + options.seconds, options.seed
    while time.monotonic() < until:
        random.Random(seed).shuffle(chosen)  # also a short run looks everywhere, sooner or later
        for operation in chosen:
            if time.monotonic() >= until:
                break
            name = operation.definition.raw["operationId"]
            count, failure = _examine(operation, seed, requests.CHECKS)
            sent += count
            if failure is not None and name not in failed:
                failed[name] = failure
                print(f"{name}, seed {seed}: {failure}\n", flush=True)
                print(f"    python -m tests.fuzz.api --only {name} --seed {seed} --seconds 1\n", flush=True)
        seed += 1
    print(f"{sent} requests, seeds {options.seed} to {seed}: {len(failed)} of {len(chosen)} operations failed")
    return 1 if failed else 0


def _examine(operation: Any, seed: int, checks: list[Any]) -> tuple[int, BaseException | None]:
    """Send some requests that the schema allows and some that it doesn't: how many, and the first wrong answer."""
    import hypothesis
    from hypothesis import HealthCheck, Phase
    from schemathesis import GenerationMode

    sent = 0

    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(checks=checks)

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        quiet = hypothesis.settings(
            max_examples=REQUESTS, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )  # fmt: skip
        given = hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        try:
            hypothesis.seed(seed)(quiet(given(send)))()
        except hypothesis.errors.Unsatisfiable:  # there is nothing that the schema doesn't allow
            continue
        except (Exception, BaseExceptionGroup) as exc:
            return sent, exc
    return sent, None


if __name__ == "__main__":
    sys.exit(main())
