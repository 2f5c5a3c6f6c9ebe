"""``manage.py verify_log [STREAM …]``: compares logs with the checksums of what was received."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from server.core.command_errors import as_command_errors
from server.learning.fold import replay
from server.learning.fold.estimator_errors import FATAL, reason
from server.learning.models import Model
from server.learning.river_adapters.input_writers import writes_to_input
from server.streams import registry
from server.streams.integrity import Finding, examine
from server.streams.models import Stream

MOST_SHOWN = 20
"""Most findings of one stream in the output."""


class Command(BaseCommand):
    help = (
        "Compares each batch of a log with the checksum that was stored when it was received. Rows of versions before 0.1 "
        "have no checksum: rows that a model may have changed and rows that can't be right are listed. Exits with 1 if a log "
        "is damaged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("streams", nargs="*", metavar="STREAM", help="stream to verify (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            found = [registry.find(name) for name in options["streams"]] or list(Stream.objects.order_by("name"))
        harmed = False
        for stream in found:
            findings = merged(list(examine(stream, self._writers(stream))))
            certain = sum(finding.last - finding.first + 1 for finding in findings if finding.certain)
            harmed = harmed or bool(certain)
            suspect = sum(finding.last - finding.first + 1 for finding in findings if not finding.certain)
            says = "DAMAGED" if certain else "in doubt" if suspect else "verified"
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
        """Return the ids of the stream's models that change their input, including models that can't be read."""
        writers = []
        for model in Model.objects.filter(stream=stream):
            try:
                writes = writes_to_input(replay.initial_replica(model, stream.segment).estimator)
            except FATAL:
                raise
            except BaseException as exc:
                self.stderr.write(
                    f"model {model.name} can't be read, so it may be one that changes its input: {reason(exc)}"
                )
                writes = True
            if writes:
                writers.append(model.pk)
        return writers


def merged(findings: list[Finding]) -> list[Finding]:
    """Merge adjacent findings of the same kind."""
    found: list[Finding] = []
    for finding in findings:
        if found and found[-1][2:] == finding[2:] and found[-1].last + 1 == finding.first:
            found[-1] = found[-1]._replace(last=finding.last)
        else:
            found.append(finding)
    return found
