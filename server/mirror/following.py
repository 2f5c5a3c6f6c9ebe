"""Passes over the models that are mirrored: once, or again and again, with a back-off while the target is down."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.conf import settings
from tailrace.errors import TailraceError as ClientError
from tailrace.errors import Unreachable
from tailrace.tracking.backends import Backend
from tailrace.tracking.claims import Claim

from server.core.errors import Conflict, TailraceError
from server.core.progress_bar import Bar
from server.learning.models import Model
from server.mirror import targets
from server.mirror.folds import Fold
from server.mirror.mirroring import Mirroring, Outcome, Wishes
from server.mirror.positions import Store

MIRRORED = (Model.READY, Model.REBUILDING, Model.QUARANTINED)
MOST_REPLICAS = 16
"""Replicas that stay in memory between two passes."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0

Say = Callable[[str], None]


class _Stopped(Exception):
    """The process has to stop."""


class Mirror:
    """Mirrors models into one target. As a context manager, it is the only one that does.

    Parameters
    ----------
    backend
        The target.
    streams
        Names of the streams whose models are mirrored; empty: all.
    wishes
        What is mirrored of each.
    rate
        Most requests a second; 0: without limit.
    say
        Prints a line.
    stopping
        Set when the process has to stop.

    Raises
    ------
    Conflict
        If another process mirrors into the same target.
    """

    def __init__(
        self,
        backend: Backend,
        streams: Sequence[str],
        wishes: Wishes,
        *,
        rate: float,
        say: Say,
        stopping: threading.Event,
    ) -> None:
        self._backend = backend
        self._streams = list(streams)
        self._wishes = wishes
        self._say = say
        self._stopping = stopping
        self._requests = targets.requests_to(backend, rate, stopping) if backend.kind == targets.MLFLOW else None
        name = f"{backend.key}-{wishes.prefix}" if wishes.prefix else backend.key
        self._store = Store(Path(settings.TAILRACE.var_dir) / "mirror" / name)
        self._claim = Claim(str(self._store.folder / "claim"))
        self._mirrorings: OrderedDict[str, Mirroring] = OrderedDict()
        self.troubles = 0

    def __enter__(self) -> "Mirror":
        if not self._claim.take():
            raise Conflict(
                f"{self._claim.holder() or 'another process'} mirrors into {self._backend.address} already: end it, or let it go on"
            )
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            for one in self._mirrorings.values():
                one.finish()
        finally:
            self._claim.give_up()

    def once(self, patience: float) -> None:
        """Mirror what there is. While the target is down, wait for it at most so many seconds.

        Raises
        ------
        Unreachable, Refused
            If the target can't be reached, or lets nobody in.
        """
        ends = time.monotonic() + patience
        wait = FIRST_WAIT
        while True:
            try:
                self.step()
                return
            except Unreachable as exc:
                left = ends - time.monotonic()
                if left <= 0 or self._stopping.is_set():
                    raise
                self._say(f"{exc}: trying again for {left:.0f} s")
                self._stopping.wait(min(wait, left))
                wait = min(2 * wait, LONGEST_WAIT)

    def follow(self, interval: float) -> None:
        """Mirror until the process has to stop. While the target is down, it is asked less and less often, once a minute at last."""
        wait, told = FIRST_WAIT, ""
        while not self._stopping.is_set():
            try:
                self.step()
            except ClientError as exc:
                if str(exc) != told:
                    self._say(f"{exc}: trying again")
                    told = str(exc)
                self._stopping.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            if told:
                self._say(f"{self._backend.address} answers again")
            wait, told = FIRST_WAIT, ""
            self._stopping.wait(interval)

    def step(self) -> None:
        """Go over all models once.

        Raises
        ------
        Unreachable, Refused
            If the target can't be reached, or lets nobody in. Models that had their turn are not affected.
        """
        self.troubles = 0
        for model in self._models():
            if self._stopping.is_set():
                return
            self._claim.renew()
            fold = Fold.of(model)
            one = self._mirrorings.get(fold.uid)
            if one is None:
                one = Mirroring(fold, self._backend, self._requests, self._store, self._wishes)
                self._mirrorings[fold.uid] = one
            one.renew(fold)
            self._mirrorings.move_to_end(fold.uid)
            try:
                outcome = self._run(model, one)
            except _Stopped:
                return
            except TailraceError as exc:
                self.troubles += 1
                self._say(f"{model.name}: not mirrored: {exc.message}")
                continue
            self._tell(model, one, outcome)
            for other in list(self._mirrorings.values())[:-MOST_REPLICAS]:
                other.drop()

    def _run(self, model: Model, one: Mirroring) -> Outcome:
        with Bar(f"observations, {model.name}") as bar:

            def report(n: int, upto: int) -> None:
                if self._stopping.is_set():
                    raise _Stopped
                bar(n, upto)

            return one.run(report)

    def _models(self) -> Iterator[Model]:
        found = Model.objects.filter(status__in=MIRRORED).order_by("stream__name", "name")
        if self._streams:
            found = found.filter(stream__name__in=self._streams)
        for pk in list(found.values_list("pk", flat=True)):
            model = Model.objects.select_related("stream").filter(pk=pk, status__in=MIRRORED).first()
            if model is not None:
                yield model

    def _tell(self, model: Model, one: Mirroring, outcome: Outcome) -> None:
        if not outcome:
            return
        parts = [f"metrics of {outcome.lines:,} positions, to observation {one.position.at:,}"] if outcome.lines else []
        if outcome.made:
            parts.append(f"version {', '.join(outcome.made)}")
        if outcome.stale:
            parts.append(f"version {', '.join(outcome.stale)} stale")
        self._say(f"{model.name}: {'; '.join(parts) or 'nothing sent'} → {one.where}")
        for why in outcome.troubles[:20]:
            self._say(f"{model.name}: not mirrored: {why}")
        self.troubles += len(outcome.troubles)
