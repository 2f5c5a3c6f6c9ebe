"""``manage.py refold``: move a database to this machine's architecture, or to other versions of the libraries."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from tailrace import arithmetic

from server import only_server
from server.learning import architecture, refolding
from server.learning.models import Model
from server.learning.replica import reason
from server.operations.progress import Bar
from server.streams.errors import TailraceError, Unavailable
from server.streams.models import Stream


class Command(BaseCommand):
    help = (
        "Fold every model's log anew with this machine's arithmetic and library versions, and say by how much the results differ "
        "from the predictions in the log. Stop all servers of the database first. What was interrupted can be started again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            only_server.keep_servers_off()
        except only_server.Taken as exc:
            raise CommandError(f"nothing was changed: {exc}") from exc
        architecture.begin_move()
        started = time.monotonic()
        models = Model.objects.exclude(status=Model.FAILED).select_related("stream").order_by("pk")
        for model in models.filter(status=Model.BACKFILLING):
            refolding.drop_snapshots(model, model.stream.whole_after)
            self.stdout.write(f"{model.name}: learns the history of its stream anew when a server starts")
        folded = sum([self._refold(model) for model in models.exclude(status=Model.BACKFILLING)])
        architecture.settle()
        self.stdout.write(
            f"{folded} models are folded on {arithmetic.architecture()} now ({time.monotonic() - started:.1f} s)"
        )

    def _refold(self, model: Model) -> bool:
        """Whether the model could be folded; where it could not, it serves no more, and the others do."""
        bar = Bar.on_terminal(f"observations, {model.name}")
        head = Stream.objects.get(pk=model.stream_id).head
        try:
            found = refolding.refold(model, None if bar is None else lambda n: bar(n, head))
        except (DatabaseError, InterfaceError, Unavailable) as exc:
            raise CommandError(
                f"{model.name}: {exc}. The models before it are folded anew; put that right and start again"
            ) from exc
        except Exception as exc:  # whatever an estimator may raise
            why = exc.message if isinstance(exc, TailraceError) else reason(exc)
            refolding.give_up(model, why)
            self.stderr.write(f"{model.name}: FAILED, and serves no more: {why}; delete it, or make it anew")
            return False
        finally:
            if bar is not None:
                bar.end()
        if not found.differ:
            how = "equal bit for bit"
        else:
            how = f"{found.differ} of them differ"
            if found.at is not None:
                how += f", by at most {found.largest:.3g} (observation {found.at}; relative {found.relative:.2g})"
            if found.others:
                how += f", {found.others} in something else than a number"
        self.stdout.write(f"{model.name}: {found.compared} logged predictions, {how}")
        return True
