"""``manage.py verify_files``: check the contents of results' files and of runs' artifacts."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from server.calculations.models import StoredFile
from server.contents import storage
from server.core.command_errors import as_command_errors
from server.core.progress_bar import Bar
from server.operations.backup import contents
from server.tracking.models import Artifact

MOST_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Read all files of results and all artifacts of runs, in the folder or the bucket that the settings name, and compare their sizes and checksums. "
        "Files that are missing or altered are listed; then it ends with 1."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors(), Bar("files") as bar:
            wanted = contents.wanted(connection)
            place = storage.store()
            missing, altered = contents.missing_or_altered(place, wanted, bar)
            for what, some in (("missing", missing), ("altered", altered)):
                for sha256 in some[:MOST_SHOWN]:
                    self.stdout.write(f"{what}: {sha256}: {_named(sha256)}")
        if missing or altered:
            raise CommandError(
                f"of {len(wanted):,} contents in {place.where}, {len(missing):,} are missing and {len(altered):,} were altered: "
                "copy them from a backup (its folder FILE.files) or from an earlier version in the bucket"
            )
        self.stdout.write(f"{len(wanted):,} contents in {place.where} are intact.")


def _named(sha256: str) -> str:
    """Return the files that have this content, the first few."""
    rows = StoredFile.objects.filter(sha256=sha256, stored=True).order_by("pk")
    names = rows.values_list("result__attempt__step__calculation", "result__attempt__step__name", "name")[:3]
    said = [f"{name} of step {step} of calculation {calculation}" for calculation, step, name in names]
    artifacts = (
        Artifact.objects.filter(sha256=sha256, stored=True).order_by("pk").values_list("path", "run__uid", "model__uid")
    )
    said += [
        f"artifact {path} of {f'run {run}' if run else f'logged model {model}'}" for path, run, model in artifacts[:3]
    ]
    return ", ".join(said)
