"""Runs as the API shows them: one with all that it logged, or thousands with chosen columns."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db.models import Q, QuerySet

from server.core.errors import Invalid
from server.core.json_codec import loads
from server.core.slots import Slots
from server.core.validation import check_text, format_value
from server.tracking import summaries, values
from server.tracking.filters import limits
from server.tracking.models import Artifact, LatestMetric, Run, RunLink
from server.tracking.models.names import ACTIVE

MOST_RUNS, MOST_COLUMNS = 10_000, 1_000
MOST_BYTES = 64 * 2**20
"""Size of summaries from which a page ends early."""

_FIRST, _AT_ONCE = 100, 1_000
"""Runs that are read at once: at first, and at most."""
_LARGE = 2**22
"""Bytes of the summaries of a part from which the next one has fewer runs."""
MANY = 1_000
"""Runs from which a list is large: it takes 5 kB of memory for each, while it is made."""

LISTING = Slots(
    lambda: (2, 1),
    "this process lists {limit} times more than 1,000 runs already; try again, or ask for fewer",
    "you list {limit} times more than 1,000 runs in this process already: wait until that has ended",
)


def room(limit: int, key: int | None) -> AbstractContextManager[None]:
    """Return a context that holds a slot while a large list is in memory.

    Parameters
    ----------
    limit
        Most runs.
    key
        The caller's key (:class:`server.core.slots.Slots`).

    Raises
    ------
    TooMany, Unavailable
        On entering, if too many of them are made at the same time: for this caller, or for all callers of this process.
    """
    return LISTING.held(key) if limit > MANY else nullcontext()


_FIELDS = (
    "pk", "uid", "name", "experiment_id", "experiment__name", "status", "started_ms", "ended_ms", "lifecycle", "deleted_ms",
    "parent", "user_name", "created_by", "heard_ms",
)  # fmt: skip
_SHOWN = (
    "uid", "name", "experiment_id", "experiment", "status", "started_ms", "ended_ms", "lifecycle", "deleted_ms",
    "parent", "user_name", "created_by", "heard_ms",
)  # fmt: skip
_SUMMARY = ("summarized", "summary__params", "summary__metrics", "summary__tags")
PARTS = ("params", "metrics", "tags")
DEFAULT_ORDER = ("-started_ms", "-pk")


class Page(NamedTuple):
    """Runs, and where the next ones begin; None: there are no more."""

    runs: list[dict[str, Any]]
    next: str | None


class Columns:
    """Columns that are wanted of each run: ``metrics.loss``, ``params.lr``, ``tags.team``. None: all."""

    def __init__(self, names: Sequence[Any] | None, field: str = "columns") -> None:
        self._keys: dict[str, list[str]] | None = None if names is None else {part: [] for part in PARTS}
        if names is not None and len(names) > MOST_COLUMNS:
            raise Invalid(f"{field} has {len(names)} columns: the most allowed is {MOST_COLUMNS}", field=field)
        for index, name in enumerate(names or ()):
            part, _, key = check_text(name, f"{field}[{index}]", 300).partition(".")
            if self._keys is None or part not in self._keys or not key:
                raise Invalid(
                    f"{field}[{index}] is {format_value(name)}: expected metrics.KEY, params.KEY or tags.KEY",
                    field=f"{field}[{index}]",
                )
            if key not in self._keys[part]:
                self._keys[part].append(key)
        self._sets = {part: set(keys) for part, keys in (self._keys or {}).items()}
        self._pick = {part: _picker(keys) for part, keys in (self._keys or {}).items()}

    def of_texts(self, texts: Iterable[str]) -> dict[str, Any]:
        """Return what is wanted of a stored summary."""
        if self._keys is None:
            return {part: orjson.Fragment(text) for part, text in zip(PARTS, texts, strict=True)}
        return {
            part: self._of_text(part, text) if self._keys[part] else {} for part, text in zip(PARTS, texts, strict=True)
        }

    def _of_text(self, part: str, text: str) -> Any:
        """Return a part of a stored summary; its text as it is, if it has the wanted keys and no others."""
        assert self._keys is not None
        given = loads(text)
        if given.keys() == self._sets[part]:
            return orjson.Fragment(text)
        try:
            return self._pick[part](given)
        except KeyError:
            return _chosen(given, self._keys[part])

    def of(self, summary: summaries.Summary) -> dict[str, Any]:
        """Return what is wanted of a summary that was read from the tables."""
        if self._keys is None:
            return summary._asdict()
        return {part: _chosen(getattr(summary, part), self._keys[part]) for part in PARTS}


def _picker(keys: list[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that takes all these keys out of an object, four times as fast as one by one."""
    if len(keys) < 2:
        return lambda given: {key: given[key] for key in keys}
    values_of = itemgetter(*keys)
    return lambda given: dict(zip(keys, values_of(given), strict=True))


def _chosen(given: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}


def selected(
    *,
    experiments: Sequence[int] | None = None,
    lifecycle: str | None = ACTIVE,
    statuses: Sequence[str] | None = None,
    name: str | None = None,
    parent: str | None = None,
    created_by: str | None = None,
    linked: tuple[str, str] | None = None,
) -> QuerySet[Run]:
    """Return runs by what is simple to say. None: whatever it is.

    Parameters
    ----------
    experiments
        Numbers of experiments.
    name
        A part of the name.
    parent
        Identifier of the run that they belong to; empty: those that belong to none.
    linked
        Kind and name of what they are linked to.
    """
    conditions = Q()
    if experiments is not None:
        conditions &= Q(experiment__in=list(experiments))
    if lifecycle is not None:
        conditions &= Q(lifecycle=lifecycle)
    if statuses is not None:
        conditions &= Q(status__in=list(statuses))
    if name is not None:
        conditions &= Q(name__contains=name)
    if parent is not None:
        conditions &= Q(parent=parent)
    if created_by is not None:
        conditions &= Q(created_by=created_by)
    if linked is not None:
        conditions &= Q(pk__in=RunLink.objects.filter(kind=linked[0], name=linked[1]).values("run"))
    return Run.objects.filter(conditions)


def page(
    rows: QuerySet[Run],
    columns: Columns,
    *,
    limit: int = 100,
    after: str | None = None,
    order: Callable[[QuerySet[Run]], QuerySet[Run]] | None = None,
    key: int | None = None,
) -> Page:
    """Return runs with columns.

    Parameters
    ----------
    after
        ``next`` of the page before.
    order
        Puts them in order; None: those that started last come first.
    key
        The caller's (:class:`server.core.slots.Slots`).

    Raises
    ------
    Invalid
        If ``after`` is none.
    TooMany, Unavailable, QueryTooSlow
        As :func:`server.tracking.filters.limits.search`.
    """
    skipped, is_default = 0, order is None
    if order is not None:
        rows = order(rows)
        skipped = _numbers(after, 1)[0] if after else 0
    else:
        rows = rows.order_by(*DEFAULT_ORDER)
        if after:
            started, pk = _numbers(after, 2)
            rows = rows.filter(Q(started_ms__lt=started) | Q(started_ms=started, pk__lt=pk))
    numbers = limits.search(key, lambda: list(rows.values_list("pk", "started_ms")[skipped : skipped + limit + 1]))
    wanted = numbers[:limit]
    shown: list[dict[str, Any]] = []
    size, at, part = 0, 0, _FIRST
    while at < len(wanted) and size < MOST_BYTES:
        some = wanted[at : at + part]
        taken = _shown([number for number, _ in some], columns, shown)
        size, at = size + taken, at + len(some)
        part = min(2 * part, _AT_ONCE) if taken < _LARGE else max(part // 2, 1)
    if at == len(numbers):
        return Page(shown, None)
    pk, started_ms = wanted[at - 1]
    return Page(shown, f"{started_ms}:{pk}" if is_default else str(skipped + at))


def _shown(numbers: list[int], columns: Columns, shown: list[dict[str, Any]]) -> int:
    """Append runs to what is shown, in their order. Return how many bytes their summaries have, about."""
    size = 0
    rows = {row[0]: row for row in Run.objects.filter(pk__in=numbers).values_list(*_FIELDS, *_SUMMARY)}
    read = summaries.read(number for number, row in rows.items() if not row[-4])
    for number in numbers:
        row = rows.get(number)
        if row is None:  # it was removed meanwhile
            continue
        one = dict(zip(_SHOWN, row[1:-4], strict=True))
        texts = row[-3:]
        one.update(columns.of_texts(texts) if row[-4] else columns.of(read[number]))
        shown.append(one)
        size += sum(map(len, texts)) if row[-4] else _size(read[number])
    return size


def _size(summary: summaries.Summary) -> int:
    return sum(
        len(key) + len(value) + 6 for part in (summary.params, summary.tags) for key, value in part.items()
    ) + sum(len(key) + 25 for key in summary.metrics)


def _numbers(text: str, count: int) -> list[int]:
    parts = text.split(":")
    if len(parts) != count or not all(part.lstrip("-").isdigit() and len(part) < 20 for part in parts):
        raise Invalid(f"after is {format_value(text)}: expected `next` of an earlier answer", field="after")
    found = [int(part) for part in parts]
    if not all(-(2**63) <= one < 2**63 for one in found) or (count == 1 and found[0] < 0):
        raise Invalid(f"after is {format_value(text)}: expected `next` of an earlier answer", field="after")
    return found


def columns_of(rows: QuerySet[Run], most: int = MOST_COLUMNS) -> list[str]:
    """Return the names of columns that these runs have."""
    numbers = rows.order_by().values("pk")
    found: list[str] = []
    for part in ("params", "metrics", "tags"):
        table = Run._meta.get_field(part).related_model  # type: ignore[union-attr]
        keys = table._default_manager.filter(run__in=numbers).order_by("key").values_list("key", flat=True).distinct()  # type: ignore[union-attr]
        found += [f"{part}.{key}" for key in keys[: most - len(found)]]
    return found


def described(run: Run) -> dict[str, Any]:
    """Return a run with all that it logged, but the points of its metrics."""
    summary = summaries.read([run.pk])[run.pk]
    row = Run.objects.filter(pk=run.pk).values_list(*_FIELDS[1:]).get()
    return dict(zip(_SHOWN, row, strict=True)) | {
        "params": summary.params,
        "tags": summary.tags,
        "metrics": latest(run),
        "links": [
            {"to": kind, "name": name, "at": at}
            for kind, name, at in run.links.order_by("pk").values_list("kind", "name", "at")
        ],
        "children": list(Run.objects.filter(parent=run.uid).order_by("pk").values_list("uid", flat=True)[:MOST_RUNS]),
        "artifacts": Artifact.objects.filter(run=run).count(),
    }


def latest(run: Run) -> dict[str, Any]:
    """Return the latest point of each metric of a run, by key."""
    rows = LatestMetric.objects.filter(run=run).order_by("key")
    return {
        key: {"step": step, "time_ms": time_ms, "value": values.shown(value, special)}
        for key, step, time_ms, value, special in rows.values_list("key", "step", "time_ms", "value", "special")
    }


def domains(run: Run, limit: int, after: int) -> list[dict[str, Any]]:
    """Return records of domains of a run after a number, in the order in which they arrived."""
    rows = run.domains.filter(pk__gt=after).order_by("pk")[:limit]
    return [
        {
            "number": row.pk,
            "domain": row.domain,
            "step": row.step,
            "time_ms": row.time_ms,
            "values": loads(row.document),
        }
        for row in rows
    ]
