"""Compositions: create, find, change and delete them, and what there is of each."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import Concat

from server.campaigns import formulas
from server.campaigns.models import Campaign, Composition, CompositionAlias, Run
from server.cells.models import Cell
from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_text, format_value

_IS_DEFORMED = ~Q(family="") & ~Q(name=F("family")) & ~Q(name=Concat(F("family"), Value("-00")))
LONGEST_NOTES = 10_000
MOST_ALIASES = 50


def find(name: Any, field: str = "composition") -> Composition:
    """Return the composition with this name or alias, or any other way to write its formula.

    Raises
    ------
    NotFound
        If there is none, or it was deleted.
    """
    known = Composition.objects.filter(deleted_at=None)
    found = None
    if isinstance(name, str) and "\x00" not in name and len(name) <= formulas.LONGEST:
        found = known.filter(Q(name=name) | Q(aliases__text=name)).first()
        if found is None and (key := formulas.key_of(name)) is not None:
            found = known.filter(key=key).first()
    if found is None:
        raise NotFound(f"no composition {format_value(name)}: POST it to /api/v1/compositions/ first", field=field)
    return found


def create(
    formula: Any, *, aliases: Any = (), notes: Any = "", created_by: str = "", owner_id: int | None = None
) -> tuple[Composition, bool]:
    """Store a composition. The same one, written in another way, changes nothing but adds that way as an alias.

    Returns
    -------
    composition, created

    Raises
    ------
    Invalid
        If the formula or an alias can't be read, or an alias is another composition.
    """
    read = formulas.parse(formula, "name")
    others = _aliases(aliases, read)
    notes = check_text(notes, "notes", LONGEST_NOTES)
    with transaction_for_writing():
        found = Composition.objects.select_for_update().filter(key=read.key).first()
        is_new = found is None or found.deleted_at is not None
        if found is None:
            found = Composition(name=read.text, key=read.key, created_by=created_by, owner_id=owner_id)
        if is_new:
            found.deleted_at, found.notes = None, notes
            found.save()
            audit_signals.send("composition.create", found.name, after={"key": found.key})
        _keep_aliases(found, [read.text, *others])
    return found, is_new


def change(composition: Composition, fields: dict[str, Any]) -> Composition:
    """Change the notes and the aliases. The formula never changes: another one is another composition."""
    read = formulas.parse(composition.name)
    with transaction_for_writing():
        found = Composition.objects.select_for_update().get(pk=composition.pk)
        before = {"notes": found.notes, "aliases": _texts(found)}
        if "notes" in fields:
            found.notes = check_text(fields["notes"], "notes", LONGEST_NOTES)
            found.save(update_fields=["notes"])
        if "aliases" in fields:
            wanted = _aliases(fields["aliases"], read)
            found.aliases.exclude(text__in=wanted).delete()
            _keep_aliases(found, wanted)
        after = {"notes": found.notes, "aliases": _texts(found)}
        audit_signals.send("composition.change", found.name, before=before, after=after)
    return found


def delete(composition: Composition) -> None:
    """Delete a composition. If runs or campaigns that have ended refer to it, it is only hidden.

    Raises
    ------
    Conflict
        If a campaign that has not ended has it: stop the campaign, or take the composition out of it, first.
    """
    with transaction_for_writing():
        found = Composition.objects.select_for_update().get(pk=composition.pk)
        going_on = found.campaigns.filter(state__in=(Campaign.ACTIVE, Campaign.PAUSED)).order_by("name").first()
        if going_on is not None:
            raise Conflict(
                f"composition {found.name} belongs to campaign {going_on.name}, which is {going_on.state}: stop the campaign, or "
                "take the composition out of it, and delete it then",
                field="composition",
                code="in_use",
            )
        audit_signals.send("composition.delete", found.name, before={"key": found.key, "notes": found.notes})
        if found.campaigns.exists() or Run.objects.filter(composition=found).exists():
            found.deleted_at = datetime.now(UTC)
            found.save(update_fields=["deleted_at"])
        else:
            found.delete()


def _aliases(aliases: Any, read: formulas.Formula) -> list[str]:
    if not isinstance(aliases, (list, tuple)) or len(aliases) > MOST_ALIASES:
        raise Invalid(
            f"aliases is {format_value(aliases)}: expected a list of at most {MOST_ALIASES} formulas", field="aliases"
        )
    for index, text in enumerate(aliases):
        other = formulas.parse(text, f"aliases[{index}]")
        if other.key != read.key:
            raise Invalid(
                f"aliases[{index}] is {format_value(text)}: this is another composition ({other.key}) than {read.text} ({read.key})",
                field=f"aliases[{index}]",
            )
    return list(dict.fromkeys(aliases))


def _keep_aliases(composition: Composition, texts: Iterable[str]) -> None:
    for text in texts:
        if text != composition.name:
            CompositionAlias.objects.get_or_create(text=text, defaults={"composition": composition})


def _texts(composition: Composition) -> list[str]:
    return sorted(alias.text for alias in composition.aliases.all())


def listing() -> list[dict[str, Any]]:
    """Return all compositions by name, with what there is of each."""
    return described(list(Composition.objects.filter(deleted_at=None).order_by("name").prefetch_related("aliases")))


def described(found: list[Composition]) -> list[dict[str, Any]]:
    """Return compositions as the API shows them.

    ``counts`` has the cells that are no deformed copies, the deformed copies, the labeled cells, the labels, the failed ones and
    the runs, over all streams.
    """
    counts = _counts({one.key: one.pk for one in found})
    return [
        {
            "name": one.name,
            "key": one.key,
            "aliases": _texts(one),
            "notes": one.notes,
            "counts": {
                name: counts[one.pk][name] for name in ("cells", "deformations", "labeled", "labels", "failed", "runs")
            },
            "created_at": one.created_at,
            "created_by": one.created_by,
        }
        for one in found
    ]


def _counts(keys: dict[str, int]) -> dict[int, Counter[str]]:
    """Return composition to what there is of it."""
    found: dict[int, Counter[str]] = {pk: Counter() for pk in keys.values()}
    of_text = (
        Cell.objects.order_by()
        .values_list("composition", "status")
        .annotate(number=Count("pk"), labels=Sum(F("last") - F("first") + 1), deformed=Count("pk", filter=_IS_DEFORMED))
    )
    for text, status, number, labels, deformed in of_text:
        pk = keys.get(formulas.key_of(text) or "")
        if pk is None:
            continue
        if status == Cell.FAILED:
            found[pk]["failed"] += number
        else:
            found[pk].update(labeled=number, labels=labels or 0, cells=number - deformed, deformations=deformed)
    runs = Run.objects.filter(composition__in=found).order_by().values_list("composition").annotate(number=Count("pk"))
    for pk, number in runs:
        found[pk]["runs"] = number
    return found
