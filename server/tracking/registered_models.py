"""Registered models: create, find, rename, describe, tag, delete, and the aliases of their versions."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import IntegrityError

from server.core import audit_signals
from server.core.db.locks import transaction_for_writing
from server.core.errors import Conflict, Invalid, NotFound
from server.core.validation import check_text, format_value
from server.tracking import pairs
from server.tracking.clock import now_ms
from server.tracking.models import ModelAlias, ModelVersion, RegisteredModel, RegisteredModelTag
from server.tracking.models.names import LONGEST_KEY, LONGEST_NAME

LONGEST_TAG, LONGEST_DESCRIPTION = 100_000, 100_000
PROMPT = "mlflow.prompt.is_prompt"
"""The tag by which MLflow's clients say that a registered model is a prompt."""

_ALIAS = re.compile(r"[\w-]+\Z")
_LIKE_A_VERSION = re.compile(r"[vV]\d+\Z")


def check_name(name: Any, field: str = "name") -> str:
    """Return the name of a registered model.

    Raises
    ------
    Invalid
        If it is empty, too long, or has a ``/`` or ``:``, which divide the parts of addresses of models.
    """
    check_text(name, field, LONGEST_NAME)
    if not name.strip() or "/" in name or ":" in name:
        raise Invalid(
            f"{field} is {format_value(name)}: expected the name of a registered model, 1 to {LONGEST_NAME} characters "
            "without / and :",
            field=field,
        )
    return str(name)


def check_tags(tags: Mapping[str, Any], field: str = "tags") -> dict[str, str]:
    """Return tags of a registered model or a version.

    Raises
    ------
    Invalid
        If a key or a value is not valid.
    """
    for key, value in tags.items():
        if not check_text(key, f"key {format_value(key)} of {field}", LONGEST_KEY):
            raise Invalid(f"a key of {field} is empty: expected 1 to {LONGEST_KEY} characters", field=field)
        check_text(value, f"{field}.{key}", LONGEST_TAG)
    return dict(tags)


def find(name: Any) -> RegisteredModel:
    """Return the registered model of this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    known = isinstance(name, str) and "\x00" not in name
    found = RegisteredModel.objects.filter(name=name).first() if known else None
    if found is None:
        raise NotFound(f"Registered Model with name={name if known else format_value(name)} not found", field="name")
    return found


def create(
    name: Any,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    created_by: str = "",
    owner_id: int | None = None,
) -> RegisteredModel:
    """Create a registered model, without versions.

    Raises
    ------
    Invalid
        If a value is not valid.
    Conflict
        If there is one of this name.
    """
    check_name(name)
    check_text(description, "description", LONGEST_DESCRIPTION)
    given = check_tags(tags or {})
    now = now_ms()
    try:
        with transaction_for_writing():
            made = RegisteredModel.objects.create(
                name=name, description=description, created_ms=now, changed_ms=now, created_by=created_by, owner_id=owner_id
            )  # fmt: skip
            RegisteredModelTag.objects.bulk_create(
                RegisteredModelTag(model=made, key=key, value=value) for key, value in given.items()
            )
            audit_signals.send("registered_model.create", name)
    except IntegrityError as exc:
        raise Conflict(f"Registered Model (name={name}) already exists", field="name", code="exists") from exc
    return made


def change(model: RegisteredModel, *, name: str | None = None, description: str | None = None) -> RegisteredModel:
    """Rename or describe a registered model.

    Raises
    ------
    Invalid
        If a value is not valid.
    Conflict
        If another one has the new name.
    """
    try:
        with transaction_for_writing():
            found = held(model)
            before = {"name": found.name}
            if name is not None:
                found.name = check_name(name, "new_name")
                ModelVersion.objects.filter(model=found).update(changed_ms=now_ms())
            if description is not None:
                found.description = check_text(description, "description", LONGEST_DESCRIPTION)
            found.changed_ms = now_ms()
            found.save()
            if found.name != before["name"]:
                audit_signals.send("registered_model.change", before["name"], before=before, after={"name": found.name})
    except IntegrityError as exc:
        raise Conflict(f"Registered Model (name={name}) already exists", field="new_name", code="exists") from exc
    return found


def held(model: RegisteredModel) -> RegisteredModel:
    """Return the registered model as it is stored, and hold its row until the transaction ends.

    The key isn't held: a commit that checks a reference to the row would wait for it, while it has rows that the holder waits for.

    Raises
    ------
    NotFound
        If it has been deleted.
    """
    found = RegisteredModel.objects.select_for_update(no_key=True).filter(pk=model.pk).first()
    if found is None:
        raise NotFound(f"Registered Model with name={model.name} not found", field="name")
    return found


def delete(model: RegisteredModel) -> None:
    """Delete a registered model with its versions and aliases. The files stay with their runs.

    Raises
    ------
    NotFound
        If it has been deleted.
    """
    with transaction_for_writing():
        found = held(model)  # before its versions, as everybody does
        found.delete()
        audit_signals.send("registered_model.delete", found.name)


def set_tag(model: RegisteredModel, key: str, value: str) -> None:
    """Set a tag, in place of an earlier one of the same key.

    Raises
    ------
    Invalid
        If the key or the value is not valid.
    """
    check_tags({key: value})
    with transaction_for_writing():
        RegisteredModelTag.objects.update_or_create(model=held(model), key=key, defaults={"value": value})


def delete_tag(model: RegisteredModel, key: str) -> None:
    """Delete a tag, if there is one of this key."""
    with transaction_for_writing():
        RegisteredModelTag.objects.filter(model=model, key=key).delete()


def set_alias(model: RegisteredModel, alias: str, version: ModelVersion) -> None:
    """Give a version an alias. Another version that has it loses it.

    Raises
    ------
    Invalid
        If it isn't letters, digits, ``_`` and ``-``, or is ``latest`` or like ``v12``, which name versions.
    """
    check_text(alias, "alias", LONGEST_KEY)
    if not _ALIAS.match(alias) or alias.lower() == "latest" or _LIKE_A_VERSION.match(alias):
        raise Invalid(
            f"alias is {format_value(alias)}: expected letters, digits, _ or -, but not latest, nor v and a number, which "
            "name versions",
            field="alias",
        )
    with transaction_for_writing():
        ModelAlias.objects.update_or_create(model=held(model), alias=alias, defaults={"version": version.version})
        after = {"alias": alias, "version": version.version}
        audit_signals.send("registered_model.set_alias", model.name, after=after)


def delete_alias(model: RegisteredModel, alias: str) -> None:
    """Delete an alias, if there is one."""
    with transaction_for_writing():
        if ModelAlias.objects.filter(model=model, alias=alias).delete()[0]:
            audit_signals.send("registered_model.delete_alias", model.name, before={"alias": alias})


def tags_of(models: Iterable[RegisteredModel]) -> dict[int, dict[str, str]]:
    """Return the tags of registered models, by their ``pk``."""
    return pairs.of(RegisteredModelTag, "model", [model.pk for model in models])


def aliases_of(numbers: Collection[int]) -> dict[int, dict[str, int]]:
    """Return the aliases of registered models by their ``pk``, and the versions that they name."""
    return pairs.of(ModelAlias, "model", numbers, "alias", "version")
