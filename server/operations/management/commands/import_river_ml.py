"""``manage.py import_river_ml STORE``: import the models of django-river-ml from its shelve or its Redis database."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.core.command_errors import as_command_errors
from server.learning.fold import architecture
from server.operations.river_ml import importing
from server.operations.river_ml.dump_store import __file__ as dumper
from server.operations.river_ml.importing import Outcome
from server.operations.river_ml.store import read


class Command(BaseCommand):
    help = (
        "Import models, their metrics there, and predictions that wait for their labels, from a store of django-river-ml. Each model "
        "gets a stream of its name, and begins with the state that it had. Nothing in the store is unpickled freely: models that "
        "the server would not accept as uploads are refused, and the others imported. Safe to repeat."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "store",
            metavar="STORE",
            help="path of the shelve (SHELVE_PATH), redis://HOST:PORT/NUMBER (its password in REDISCLI_AUTH), or a file that "
            f"{dumper} wrote",
        )
        parser.add_argument("--owner", metavar="USER", help="the user who owns what is imported")
        parser.add_argument(
            "--rename", metavar="OLD=NEW", action="append", default=[], help="import model OLD under the name NEW"
        )
        parser.add_argument("--dry-run", action="store_true", help="read and check everything, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        with as_command_errors():
            owner = _owner(options["owner"])
            store = read(options["store"])
            names = _names(options["rename"], store.models)
            architecture.require()
            refused: list[Outcome] = []

            def tell(outcome: Outcome) -> None:
                if outcome.state == "refused":
                    refused.append(outcome)
                    self.stderr.write(f"{outcome.name}: refused: {outcome.why}")
                elif outcome.state == "there":
                    self.stdout.write(f"{outcome.name}: imported earlier")
                else:
                    self.stdout.write(f"{outcome.name}: {outcome.state} ({outcome.notes})")

            change = not options["dry_run"]
            made = importing.import_models(store, owner, names, tell, change=change)
            if change:
                counts = importing.import_predictions(store, made, tell)
                self.stdout.write(
                    f"{counts['imported']} waiting predictions imported, {counts['there']} imported earlier"
                )
            else:
                self.stdout.write(f"{len(store.predictions)} waiting predictions. Nothing was changed.")
        if store.others:
            self.stdout.write(f"{store.others} entries are not django-river-ml's and were left out")
        if refused:
            raise CommandError(f"{len(refused)} of {len(store.models) + len(store.predictions)} entries were refused")


def _owner(name: str | None) -> User | None:
    if name is None:
        return None
    found = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}")
    return found


def _names(renamed: list[str], models: dict[str, Any]) -> dict[str, str]:
    names = {}
    for pair in renamed:
        old, equals, new = pair.partition("=")
        if not equals or old not in models:
            raise CommandError(f"--rename {pair!r}: expected OLD=NEW, with OLD one of {', '.join(sorted(models)[:20])}")
        names[old] = new
    return names
