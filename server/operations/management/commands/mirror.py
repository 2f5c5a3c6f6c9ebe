"""``manage.py mirror STREAM … --to mlflow --uri URL``: models in an MLflow or in W&B as they learn."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tailrace.errors import TailraceError as ClientError

from server.core.command_errors import as_command_errors
from server.learning.fold import architecture
from server.mirror import targets
from server.mirror.following import Mirror
from server.mirror.mirroring import AFTER, Wishes
from server.streams import registry


class Command(BaseCommand):
    help = (
        "Mirror the models of streams into an MLflow server (or another Tailrace), or into W&B: their prequential metrics into a run "
        "for each, their states into versions of registered models that mlflow.pyfunc loads, with the alias live on the newest. It goes on "
        "until it is stopped, and continues where it was. The token comes from MLFLOW_TRACKING_TOKEN, or from MLFLOW_TRACKING_USERNAME "
        "and MLFLOW_TRACKING_PASSWORD, or from --token-file."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("streams", nargs="*", metavar="STREAM", help="mirror the models of this stream")
        parser.add_argument("--all", action="store_true", help="mirror the models of all streams")
        parser.add_argument(
            "--to", choices=targets.KINDS, default=targets.MLFLOW, help="kind of target (default: %(default)s)"
        )
        parser.add_argument("--uri", metavar="URL", help="address of the MLflow server (default: MLFLOW_TRACKING_URI)")
        parser.add_argument("--token-file", metavar="FILE", help="file with the token, read again for each request")
        parser.add_argument("--project", metavar="NAME", help="project in W&B (default: WANDB_PROJECT, or tailrace)")
        parser.add_argument(
            "--offline", metavar="DIR", help="write runs of W&B into this folder instead, for `wandb sync`"
        )
        parser.add_argument(
            "--prefix", default="", help="put this before the names of experiments and registered models"
        )
        parser.add_argument(
            "--every",
            type=int,
            default=1,
            metavar="N",
            help="send metrics after each Nth observation (default: %(default)s)",
        )
        parser.add_argument(
            "--snapshot-every",
            type=int,
            metavar="N",
            help=f"register a version after each Nth observation; 0: at the end of --once alone (default: the latest state, {AFTER} "
            "observations after the one before)",
        )
        parser.add_argument(
            "--once", action="store_true", help="mirror what there is, register the latest states, and end"
        )
        parser.add_argument(
            "--patience",
            type=float,
            default=60,
            metavar="S",
            help="with --once: wait so long for a target that is down (default: %(default)s)",
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=10,
            metavar="S",
            help="look for new observations so often (default: %(default)s)",
        )
        parser.add_argument(
            "--rate",
            type=float,
            default=20,
            metavar="R",
            help="most requests a second; 0: any number (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        _check(options)
        stopping = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            if stopping.is_set():
                raise KeyboardInterrupt
            stopping.set()

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
        wishes = Wishes(options["every"], options["snapshot_every"], options["prefix"], options["once"])
        with as_command_errors():
            architecture.require()
            targets.check_prefix(options["prefix"])
            for name in options["streams"]:
                registry.find(name)
            backend = targets.find(
                options["to"],
                uri=options["uri"],
                token_file=options["token_file"],
                project=options["project"],
                folder=options["offline"],
                mode="offline" if options["offline"] else None,
            )
            try:
                with Mirror(
                    backend, options["streams"], wishes, rate=options["rate"], say=self._say, stopping=stopping
                ) as mirror:
                    if options["once"]:
                        mirror.once(options["patience"])
                    else:
                        mirror.follow(options["interval"])
            except ClientError as exc:
                raise CommandError(f"{exc}. Run it again to continue") from exc
        if mirror.troubles:
            sys.exit(1)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _check(options: dict[str, Any]) -> None:
    if bool(options["streams"]) is options["all"]:
        raise CommandError("expected names of streams, or --all")
    least = {"every": 1, "snapshot_every": 0, "patience": 0, "interval": 0.1, "rate": 0}
    for name, value in least.items():
        if options[name] is not None and not options[name] >= value:
            raise CommandError(f"--{name.replace('_', '-')} is {options[name]}: expected {value} or more")
    if options["to"] == targets.WANDB and options["snapshot_every"]:
        raise CommandError("--snapshot-every is for MLflow: W&B gets the metrics alone")
