"""Passes over the models that are mirrored: once, or again and again, with a back-off while the target is down."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from tailrace.errors import Refused, Unauthorized, Unreachable
from tailrace.errors import TailraceError as ClientError
from tailrace.tracking.backends import Backend
from tailrace.tracking.claims import Claim

from server.core.db.database_state import one_line
from server.core.errors import Conflict, TailraceError, Unavailable
from server.core.progress_bar import Bar
from server.learning.models import Model
from server.mirror import targets
from server.mirror.folds import Fold
from server.mirror.mirroring import Mirroring, Outcome, Wishes
from server.mirror.positions import Store

MIRRORED = (Model.READY, Model.REBUILDING, Model.QUARANTINED)
MOST_REPLICAS = 16
"""Replicas that stay in memory between two passes."""

MOST_REASONS = 20
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
        self._told: dict[str, str] = {}
        self._last = 0
        """The model that the last pass ended with, because the target was down. The next pass ends with it, too."""
        self.troubles = 0
        self._was_idle = False

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
        """Mirror until the process has to stop. While the target or the database is down, it tries again, once a minute at last."""
        wait, told = FIRST_WAIT, ""
        while not self._stopping.is_set():
            try:
                close_old_connections()
                self.step()
            except (ClientError, DatabaseError, InterfaceError, Unavailable) as exc:
                why = one_line(exc) if isinstance(exc, DatabaseError | InterfaceError) else str(exc)
                if why != told:
                    self._say(f"{why}: trying again")
                    told = why
                self._stopping.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            if told:
                self._say("it goes on")
            wait, told = FIRST_WAIT, ""
            self._stopping.wait(interval)

    def step(self) -> None:
        """Go over all models once. What concerns one model alone, such as a name that is taken, doesn't keep the others.

        Raises
        ------
        Unreachable, Unauthorized
            If the target can't be reached, or lets nobody in. Models that had their turn are not affected.
        """
        self.troubles = 0
        is_idle = True
        for model in self._models():
            if self._stopping.is_set():
                return
            is_idle = False
            self._claim.renew()
            one = self._mirroring_of(Fold.of(model))
            try:
                outcome = self._run(model, one)
            except _Stopped:
                return
            except (Unreachable, Unauthorized):
                self._last = model.pk
                raise
            except (Refused, TailraceError) as exc:
                if isinstance(exc, Unavailable):
                    raise
                self._refuse(model, [str(exc)])
                continue
            self._tell(model, one, outcome)
            for other in list(self._mirrorings.values())[:-MOST_REPLICAS]:
                other.drop()
        if is_idle and not self._was_idle:
            self._say("no model to mirror yet")
        self._was_idle = is_idle

    def _mirroring_of(self, fold: Fold) -> Mirroring:
        found = self._mirrorings.get(fold.uid)
        if found is None:
            found = Mirroring(fold, self._backend, self._requests, self._store, self._wishes)
            self._mirrorings[fold.uid] = found
        found.renew(fold)
        self._mirrorings.move_to_end(fold.uid)
        return found

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
        for pk in sorted(found.values_list("pk", flat=True), key=lambda pk: pk == self._last):
            model = Model.objects.select_related("stream").filter(pk=pk, status__in=MIRRORED).first()
            if model is not None:
                yield model

    def _tell(self, model: Model, one: Mirroring, outcome: Outcome) -> None:
        parts = [f"metrics of {outcome.lines:,} positions, to observation {one.position.at:,}"] if outcome.lines else []
        if outcome.made:
            parts.append(f"version {', '.join(outcome.made)}")
        if outcome.stale:
            parts.append(f"version {', '.join(outcome.stale)} stale")
        if parts:
            self._say(f"{model.name}: {'; '.join(parts)} → {one.where}")
        self._refuse(model, outcome.troubles)

    def _refuse(self, model: Model, reasons: list[str]) -> None:
        """Say why something of a model isn't mirrored, unless that was said in the pass before."""
        self.troubles += len(reasons)
        text = "".join(f"\n{model.name}: not mirrored: {why}" for why in reasons[:MOST_REASONS])[1:]
        if text and text != self._told.get(model.name):
            self._say(text)
        self._told[model.name] = text
