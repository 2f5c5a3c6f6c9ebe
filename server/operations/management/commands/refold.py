"""``manage.py refold``: move a database to this machine's architecture, or to other versions of the libraries."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from tailrace.estimators import arithmetic

from server.core.errors import TailraceError, Unavailable
from server.core.progress_bar import Bar
from server.learning import refolding
from server.learning.fold import architecture
from server.learning.fold.estimator_errors import reason
from server.learning.models import Model
from server.runtime import single_instance
from server.streams.models import Stream


class Command(BaseCommand):
    help = (
        "Replay the log of every model with this machine's arithmetic and library versions, and show how much the results "
        "differ from the predictions in the log. Stop all servers of the database first. If interrupted, run it again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            single_instance.exclude_servers()
        except single_instance.AlreadyRunning as exc:
            raise CommandError(f"nothing was changed: {exc}") from exc
        architecture.begin_move()
        started = time.monotonic()
        models = Model.objects.exclude(status=Model.FAILED).select_related("stream").order_by("pk")
        for model in models.filter(status=Model.BACKFILLING):
            refolding.drop_snapshots(model, model.stream.whole_after)
            self.stdout.write(f"{model.name}: starts its backfill again when a server starts")
        folded = sum([self._refold(model) for model in models.exclude(status=Model.BACKFILLING)])
        architecture.settle()
        self.stdout.write(
            f"{folded} models are now folded on {arithmetic.architecture()} ({time.monotonic() - started:.1f} s)"
        )

    def _refold(self, model: Model) -> bool:
        """Replay one model. Return False if it fails: it is then marked as failed, and the others continue."""
        head = Stream.objects.get(pk=model.stream_id).head
        try:
            with Bar(f"observations, {model.name}") as bar:
                found = refolding.refold(model, lambda n: bar(n, head))
        except (DatabaseError, InterfaceError, Unavailable) as exc:
            raise CommandError(
                f"{model.name}: {exc}. The models before it are done; fix the cause and run the command again"
            ) from exc
        except Exception as exc:  # whatever an estimator may raise
            why = exc.message if isinstance(exc, TailraceError) else reason(exc)
            refolding.give_up(model, why)
            self.stderr.write(f"{model.name}: FAILED, and no longer predicts: {why}; delete it, or create it again")
            return False
        if not found.differ:
            how = "equal bit for bit"
        else:
            how = f"{found.differ} of them differ"
            if found.at is not None:
                how += f", by at most {found.largest:.3g} (observation {found.at}; relative {found.relative:.2g})"
            if found.others:
                how += f", {found.others} in a value that is not a number"
        self.stdout.write(f"{model.name}: {found.compared} logged predictions, {how}")
        return True
