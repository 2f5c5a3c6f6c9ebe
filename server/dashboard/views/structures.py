"""Pages of structures: the library, one structure in 3D, and all calculations of it side by side."""

import io
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.utils.html import format_html

from server.calculations import files, reading, states, structures
from server.calculations.models import Step, StoredFile, Structure
from server.core.errors import Forbidden, Invalid, TailraceError
from server.core.json_codec import loads
from server.dashboard import chain_pictures, parameters, structure_pictures
from server.dashboard.rendering import caller_of, page, refused, to
from server.dashboard.views.calculation import download
from server.dashboard.views.calculations import check_reach, may, name_of

HERE = "/structures/"
PAGE = 100
MOST_COMPARED, MOST_FIGURES = 100, 12
STRUCTURE_FILES = ("structure.xyz", "structure.extxyz")
"""Files of results that are shown as structures."""


def listed(request: HttpRequest) -> HttpResponse:
    """GET: the library. POST: add a structure."""
    check_reach(request)
    if request.method != "POST":
        return page(request, "structures", **_listed(request))
    caller = caller_of(request)
    content = request.POST.get("content", "")
    uploaded = request.FILES.get("file")
    try:
        if uploaded is not None:
            content = uploaded.read(structures.LARGEST + 1).decode("utf-8", "replace")
        form = _format(request)
        made, is_new = structures.create(
            request.POST.get("name", "").strip(), content, form, created_by=name_of(request),
            owner_id=None if caller is None else caller.user_id,
        )  # fmt: skip
    except TailraceError as exc:
        return refused(request, "structures", exc, **_listed(request))
    messages.success(request, f"{made.formula} is stored." if is_new else "The same structure was there already.")
    return to(f"{HERE}{quote(str(made.name))}/")


def _format(request: HttpRequest) -> str:
    """Return the format that the form names.

    Raises
    ------
    Invalid
        If it is unknown.
    """
    form = request.POST.get("format", "extxyz")
    if form not in structures.FORMATS:
        raise Invalid(f"format is {form[:30]!r}: expected one of {', '.join(structures.FORMATS)}", field="format")
    return form


def structure(request: HttpRequest, name: str) -> HttpResponse:
    """GET: a structure, and its calculations with their values side by side."""
    check_reach(request)
    found = structures.find(name)
    calculations, more = reading.page(structure=found.pk, limit=MOST_COMPARED)
    return page(
        request,
        "structure",
        structure=found,
        one=structures.summary(found),
        picture=structure_pictures.picture(found.content),
        calculations=_compared(calculations),
        results=_results(calculations),
        more=more is not None,
        may_create=may(request, "create"),
        may_delete=_may_delete(request, found),
    )


def file(request: HttpRequest, name: str) -> FileResponse:
    """GET: the structure as extended XYZ."""
    check_reach(request)
    found = structures.find(name)
    return download(io.BytesIO(found.content.encode()), "chemical/x-xyz", f"{found.name}.extxyz")


def delete(request: HttpRequest, name: str) -> HttpResponse:
    """POST: delete a structure that no calculation uses."""
    check_reach(request)
    found = structures.find(name)
    if not _may_delete(request, found):
        raise Forbidden(
            f"structure {found.name} belongs to {found.created_by or 'somebody else'}: ask them or a moderator"
        )
    structures.delete(found)
    messages.success(request, f"Structure {found.name} is deleted.")
    return to(HERE)


def _may_delete(request: HttpRequest, found: Structure) -> bool:
    caller = caller_of(request)
    if caller is None or "change_any" in caller.permissions:
        return True
    return "change_own" in caller.permissions and caller.user_id == found.owner_id


def _listed(request: HttpRequest) -> dict[str, Any]:
    found, more = structures.page(parameters.whole(request, "before"), PAGE)
    return {
        "structures": [structures.summary(one) for one in found],
        "older": "" if more is None else f"?before={more}",
        "formats": structures.FORMATS,
        "may_create": may(request, "create"),
    }


def _results(calculations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return pictures of the structures that the newest calculations left, with links to them."""
    found: list[dict[str, Any]] = []
    ids = [one["id"] for one in calculations]
    kept = StoredFile.objects.filter(name__in=STRUCTURE_FILES, stored=True, size__lte=structures.LARGEST)
    rows = kept.filter(result__attempt__step__calculation__in=ids).select_related("result__attempt__step__calculation")
    last: dict[int, StoredFile] = {}
    for file in rows.order_by("result__attempt__step__number"):
        if file.result.attempt.step.result_id == file.result_id:
            last[file.result.attempt.step.calculation_id] = file
    for number in sorted(last, reverse=True)[:MOST_FIGURES]:
        step = last[number].result.attempt.step
        try:
            content = structures.read(files.read(last[number]).decode("utf-8", "replace"), "extxyz").content
        except TailraceError:  # a file that is not there, or of another kind: the table has its calculation
            continue
        picture = structure_pictures.picture(content)
        if picture is not None:
            caption = format_html('<a href="/calculations/{}/">{}</a>, {}', number, step.calculation.name, step.name)
            shown = {"picture": picture, "caption": caption, "shown_name": f"{step.calculation.name}, {step.name}"}
            found.append(shown)
    return found


def _compared(calculations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of the last step of each calculation that is done."""
    last: dict[int, Step] = {}
    done = Step.objects.filter(calculation__in=[one["id"] for one in calculations], state=states.DONE)
    for step in done.select_related("result").order_by("number"):
        last[step.calculation_id] = step
    values = {pk: loads(step.result.values) if step.result else {} for pk, step in last.items()}
    names = list(dict.fromkeys(name for one in values.values() for name in one))[:12]
    units = {name: value.get("unit") for one in values.values() for name, value in one.items()}
    for one in calculations:
        one["tone"] = chain_pictures.tone(one["state"])
        found = values.get(one["id"], {})
        one["values"] = [found[name]["value"] if name in found else None for name in names]
    return {"names": [(name, units.get(name)) for name in names], "rows": calculations}
