"""``manage.py verify_log [STREAM …]``: do the logs hold what was received?"""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.learning import replay
from server.learning.input_writers import writes_to_input
from server.learning.models import Model
from server.learning.replica import FATAL, reason
from server.streams import registry
from server.streams.errors import NotFound
from server.streams.integrity import Finding, examine
from server.streams.models import Stream

MOST_SHOWN = 20
"""Findings of one stream that are shown."""


class Command(BaseCommand):
    help = (
        "Compares each batch of a log with the checksum that was made when it was received. Rows of versions before 0.1 "
        "have none: those that a model may have changed are listed, and those that can't be right. Exits 1 if a log is harmed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("streams", nargs="*", metavar="STREAM", help="stream to verify; all, if none is named")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = [registry.find(name) for name in options["streams"]] or list(Stream.objects.order_by("name"))
        except NotFound as exc:
            raise CommandError(exc.message) from exc
        harmed = False
        for stream in found:
            findings = merged(list(examine(stream, self._writers(stream))))
            certain = sum(finding.last - finding.first + 1 for finding in findings if finding.certain)
            harmed = harmed or bool(certain)
            suspect = sum(finding.last - finding.first + 1 for finding in findings if not finding.certain)
            says = "HARMED" if certain else "in doubt" if suspect else "verified"
            self.stdout.write(
                f"{stream.name}: {says}: {stream.head} observations, {certain} not as received, {suspect} in doubt"
            )
            for finding in findings[:MOST_SHOWN]:
                self.stdout.write(f"  {finding.first} to {finding.last}: {finding.why}")
            if len(findings) > MOST_SHOWN:
                self.stdout.write(f"  and {len(findings) - MOST_SHOWN} more")
        if harmed:
            sys.exit(1)

    def _writers(self, stream: Stream) -> list[int]:
        """The stream's models that change what they are given; one that can't be read is taken for one."""
        writers = []
        for model in Model.objects.filter(stream=stream):
            try:
                writes = writes_to_input(replay.fresh(model, stream.segment).estimator)
            except FATAL:
                raise
            except BaseException as exc:
                self.stderr.write(
                    f"model {model.name} can't be read, and is taken for one that changes its input: {reason(exc)}"
                )
                writes = True
            if writes:
                writers.append(model.pk)
        return writers


def merged(findings: list[Finding]) -> list[Finding]:
    """Neighbours of the same kind as one."""
    found: list[Finding] = []
    for finding in findings:
        if found and found[-1][2:] == finding[2:] and found[-1].last + 1 == finding.first:
            found[-1] = found[-1]._replace(last=finding.last)
        else:
            found.append(finding)
    return found
