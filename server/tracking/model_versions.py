"""Versions of registered models: create, find, describe, tag, move between stages, delete."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Max

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_text, format_value
from server.tracking import locations, pairs, registered_models, runs
from server.tracking.clock import now_ms
from server.tracking.locations import Place
from server.tracking.models import LoggedModel, ModelAlias, ModelVersion, ModelVersionTag, RegisteredModel
from server.tracking.models.names import ACTIVE

LARGEST_VERSION = 2**31 - 1
STAGES = {stage.lower(): stage for stage in ModelVersion.STAGES}
ACTIVE_STAGES = ("Staging", "Production")
MOST_LINKS = 20
"""Most versions that are versions of another version, one after the other."""


def find(name: Any, version: Any) -> ModelVersion:
    """Return a version of a registered model.

    Raises
    ------
    Invalid
        If ``version`` isn't a number.
    NotFound
        If there is no such version.
    """
    text = str(version)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"version is {format_value(version)}: expected the number of a version", field="version")
    model = registered_models.find(name)
    found = ModelVersion.objects.select_related("model").filter(model=model, version=int(text)).first()
    if found is None:
        raise NotFound(f"Model Version (name={model.name}, version={text}) not found", field="version")
    return found


def by_alias(name: Any, alias: str) -> ModelVersion:
    """Return the version that an alias names.

    Raises
    ------
    NotFound
        If there is none.
    """
    model = registered_models.find(name)
    known = ModelAlias.objects.filter(model=model, alias=alias).first() if "\x00" not in alias else None
    if known is None:
        raise Invalid(f"Registered model alias {alias} not found.", field="alias")
    return find(name, known.version)


def create(
    model: RegisteredModel,
    source: str,
    *,
    run: str = "",
    logged_model: str = "",
    run_link: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    created_by: str = "",
    owner_id: int | None = None,
) -> ModelVersion:
    """Create the next version of a registered model.

    Parameters
    ----------
    source
        Where its files are, on this server (:mod:`server.tracking.locations`).
    run, logged_model
        Identifiers of the run and the logged model that it comes from; "" if ``source`` says so, or none does.

    Raises
    ------
    Invalid
        If the source is not of this server, or not of this run or logged model; if another value is not valid.
    """
    check_text(description, "description", registered_models.LONGEST_DESCRIPTION)
    check_text(run_link, "run_link", 500)
    given = registered_models.check_tags(tags or {})
    run, logged_model = _lineage(source, run, logged_model)
    now = now_ms()
    with transaction_for_writing():
        held = registered_models.held(model)
        newest = ModelVersion.objects.filter(model=held).aggregate(newest=Max("version"))["newest"] or 0
        number = max(newest, held.last_version) + 1
        held.last_version, held.changed_ms = number, now
        held.save(update_fields=["last_version", "changed_ms"])
        made = ModelVersion.objects.create(
            model=held, version=number, run=run, logged_model=logged_model, source=source, run_link=run_link,
            description=description, created_ms=now, changed_ms=now, created_by=created_by, owner_id=owner_id,
        )  # fmt: skip
        ModelVersionTag.objects.bulk_create(
            ModelVersionTag(version=made, key=key, value=value) for key, value in given.items()
        )
        audit_signals.send("model_version.create", f"{held.name}/{number}", after={"run": run, "source": source[:200]})
    return made


def _lineage(source: str, run: str, logged_model: str) -> tuple[str, str]:
    """Return the run and the logged model of a source, after checking that they are those that were given."""
    place = locations.check_source(source)
    if not isinstance(place, Place):
        of = find(*place)
        if (run and run != of.run) or (logged_model and logged_model != of.logged_model):
            raise _not_of(source, "the run_id and model_id of that version")
        return of.run, of.logged_model
    if place.run:
        found = _run_of(source, place, run)
        return found, logged_model
    if logged_model and logged_model != place.model:
        raise _not_of(source, f"model_id {logged_model}")
    model = LoggedModel.objects.filter(uid=place.model, lifecycle=ACTIVE).first()
    if model is None or place.experiment not in (None, model.experiment_id):
        raise _not_of(source, "a logged model that exists")
    return run or model.source_run, model.uid


def _run_of(source: str, place: Place, run: str) -> str:
    if run and run != place.run:
        raise _not_of(source, f"run_id {run}")
    try:
        found = runs.find(place.run)
    except NotFound:
        found = None
    if found is None or place.experiment not in (None, found.experiment_id):
        raise _not_of(source, "a run that exists")
    return place.run


def _not_of(source: str, what: str) -> Invalid:
    return Invalid(f"Invalid model version source: {format_value(source)}: it is not of {what}", field="source")


def files_of(version: ModelVersion) -> str:
    """Return where the files of a version are, as clients download them.

    Raises
    ------
    Conflict
        If its run, its logged model or the version that it was made from is gone.
    """
    source = version.source
    for _ in range(MOST_LINKS):
        place = locations.check_source(source)
        try:
            if not isinstance(place, Place):
                source = find(*place).source
                continue
            if place.run:
                root = locations.of_run(runs.find(place.run))
            else:
                root = locations.of_logged_model(LoggedModel.objects.get(uid=place.model))
        except (NotFound, LoggedModel.DoesNotExist) as exc:
            raise Conflict(
                f"version {version.version} of {format_value(version.model.name)} has no files any more: {source} is gone",
                code="deleted",
            ) from exc
        return f"{root}/{place.path}" if place.path else root
    raise Conflict(f"the source of version {version.version} leads from version to version", code="deleted")


def describe(version: ModelVersion, description: str) -> ModelVersion:
    """Describe a version.

    Raises
    ------
    Invalid
        If the description is too long.
    """
    check_text(description, "description", registered_models.LONGEST_DESCRIPTION)
    with transaction_for_writing():
        ModelVersion.objects.filter(pk=version.pk).update(description=description, changed_ms=now_ms())
    return find(version.model.name, version.version)


def move(version: ModelVersion, stage: str, *, archive_others: bool = False) -> ModelVersion:
    """Move a version to a stage: None, Staging, Production or Archived.

    Parameters
    ----------
    archive_others
        Archive the versions that are in this stage now.

    Raises
    ------
    Invalid
        If there is no such stage, or others can't be archived from it.
    """
    canonical = check_stage(stage)
    if archive_others and canonical not in ACTIVE_STAGES:
        raise Invalid(
            f"versions in stage {canonical} can't be archived: expected one of {', '.join(ACTIVE_STAGES)}",
            field="stage",
        )
    now = now_ms()
    with transaction_for_writing():
        held = registered_models.held(version.model)
        if archive_others:
            others = ModelVersion.objects.filter(model=held, stage=canonical).exclude(pk=version.pk)
            others.update(stage="Archived", changed_ms=now)
        ModelVersion.objects.filter(pk=version.pk).update(stage=canonical, changed_ms=now)
        RegisteredModel.objects.filter(pk=held.pk).update(changed_ms=now)
        audit_signals.send("model_version.move", f"{held.name}/{version.version}", after={"stage": canonical})
    return find(held.name, version.version)


def check_stage(stage: str) -> str:
    """Return the name of a stage as it is stored.

    Raises
    ------
    Invalid
        If there is no such stage.
    """
    found = STAGES.get(stage.lower())
    if found is None:
        raise Invalid(
            f"Invalid Model Version stage: {format_value(stage)}: expected one of {', '.join(ModelVersion.STAGES)}",
            field="stage",
        )
    return found


def delete(version: ModelVersion) -> None:
    """Delete a version with its tags and aliases. Its number isn't given to another version."""
    with transaction_for_writing():
        held = registered_models.held(version.model)
        RegisteredModel.objects.filter(pk=held.pk).update(
            last_version=max(held.last_version, version.version), changed_ms=now_ms()
        )
        ModelAlias.objects.filter(model=held, version=version.version).delete()
        ModelVersion.objects.filter(pk=version.pk).delete()
        audit_signals.send("model_version.delete", f"{held.name}/{version.version}")


def set_tag(version: ModelVersion, key: str, value: str) -> None:
    """Set a tag, in place of an earlier one of the same key.

    Raises
    ------
    Invalid
        If the key or the value is not valid.
    """
    registered_models.check_tags({key: value})
    with transaction_for_writing():
        registered_models.held(version.model)
        ModelVersionTag.objects.update_or_create(
            version=find(version.model.name, version.version), key=key, defaults={"value": value}
        )


def delete_tag(version: ModelVersion, key: str) -> None:
    """Delete a tag, if there is one of this key."""
    with transaction_for_writing():
        ModelVersionTag.objects.filter(version=version, key=key).delete()


def latest(models: Iterable[RegisteredModel]) -> dict[int, list[ModelVersion]]:
    """Return the newest version of each stage of registered models, by their ``pk``."""
    found: dict[int, list[ModelVersion]] = {model.pk: [] for model in models}
    for some in pairs.parts(found):
        rows = (
            ModelVersion.objects.filter(model__in=some)
            .order_by()
            .values("model", "stage")
            .annotate(newest=Max("version"))
        )
        wanted = {(row["model"], row["newest"]) for row in rows}
        numbers = {number for _, number in wanted}
        versions = ModelVersion.objects.select_related("model").filter(model__in=some, version__in=numbers)
        for version in versions.order_by("version"):
            if (version.model_id, version.version) in wanted:
                found[version.model_id].append(version)
    return found


def tags_of(versions: Iterable[ModelVersion]) -> dict[int, dict[str, str]]:
    """Return the tags of versions, by their ``pk``."""
    return pairs.of(ModelVersionTag, "version", [version.pk for version in versions])
