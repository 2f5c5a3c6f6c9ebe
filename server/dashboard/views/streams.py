"""The page of a stream: its log, features, sources and models; a retraction and its rehearsal."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from server.cells.models import Cell
from server.core.errors import Invalid, NotFound
from server.core.json_codec import dumps_text
from server.dashboard import charts, parameters
from server.dashboard.charts import Chart, Series
from server.dashboard.formatting import number
from server.dashboard.rendering import caller_key, caller_of, page, refused, to
from server.learning import rehearsal
from server.learning.fold import familiarity
from server.learning.models import Model, ModelStatus
from server.streams import log, registry
from server.streams.models import Batch, Retraction, Stream

PAGE = 25
LATEST = 2000
"""Latest observations of which the sources are counted."""

BATCHES = 5000
"""Latest commits that the chart of the throughput is drawn from."""

BINS = 120
SUSPECT_SHOWN = 50


def stream(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the page."""
    found = parameters.find_stream(request, name)
    return page(
        request,
        "stream",
        stream=found,
        models=_models(found),
        chart=_throughput(found),
        has_cells=Cell.objects.filter(stream=found).exists(),
        features=_features(found),
        sources=_sources(found),
        retracted=Retraction.objects.filter(stream=found).count(),
        may_retract=_may_retract(request),
        **_log(request, found),
    )


def part(request: HttpRequest, name: str, part: str) -> HttpResponse:
    """GET: the log's newest rows, for the script that keeps them up to date."""
    found = parameters.find_stream(request, name)
    if part != "log":
        raise NotFound(f"no part named {part!r:.50}")
    return page(request, "stream_log", stream=found, may_retract=_may_retract(request), **_log(request, found))


def chart(request: HttpRequest, name: str, chart: str) -> HttpResponse:
    """GET: a chart's data as JSON or CSV."""
    found = parameters.find_stream(request, name)
    if chart != "throughput":
        raise NotFound(f"stream {name} has no chart named {chart!r:.50}")
    return charts.respond(request, _throughput(found))


def _may_retract(request: HttpRequest) -> bool:
    caller = caller_of(request)
    return caller is None or "retract" in caller.permissions


def _models(found: Stream) -> list[dict[str, Any]]:
    models = list(Model.objects.filter(stream=found).defer("initial").order_by("name"))
    known = {status.model_id: status for status in ModelStatus.objects.filter(model__stream=found)}
    return [
        {"model": model, "status": status if status is not None and status.generation == model.generation else None}
        for model in models
        for status in [known.get(model.pk)]
    ]


def _throughput(found: Stream) -> Chart:
    rows = list(Batch.objects.filter(stream=found).order_by("-last").values_list("at", "count")[:BATCHES])[::-1]
    times = np.array([log.moment(at).timestamp() for at, _ in rows])
    counts = np.array([count for _, count in rows], dtype=np.int64)
    made = Chart(
        "throughput",
        "Observations over time",
        "Nothing has come yet.",
        "time",
        "observations",
        [],
        [],
        is_time=True,
        url=f"/streams/{quote(found.name)}/charts/throughput/",
    )
    if not rows:
        return made
    width = max(1.0, float(np.ceil((times[-1] - times[0]) / BINS)))
    start = float(np.floor(times[0] / width) * width)
    bins = ((times - start) // width).astype(int)
    per_bin = np.bincount(bins, weights=counts)
    made.x = (start + width * np.arange(len(per_bin))).tolist()
    made.series = [Series(f"observations in {_duration(width)}", per_bin.tolist(), "bars")]
    whole = "" if int(counts.sum()) == found.head else f" the latest {number(int(counts.sum()))} of"
    made.sentence = (
        f"Of{whole} {number(found.head)} observations, at most {number(int(per_bin.max()))} came in {_duration(width)}; "
        f"the last came on {datetime.fromtimestamp(times[-1], UTC):%Y-%m-%d at %H:%M:%S} UTC."
    )
    return made


def _duration(seconds: float) -> str:
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} s"


def _features(found: Stream) -> dict[str, Any]:
    """What is known of each feature, from the declaration or the stored summary."""
    if found.features is not None:
        rows = [{"name": name, "kinds": kind} for name, kind in found.features.items()]
        return {"rows": rows[:3000], "is_declared": True, "upto": found.head}
    summary = familiarity.stored_summary(found)
    return {"rows": summary.table()[:3000], "is_declared": False, "upto": summary.upto}


def _sources(found: Stream) -> dict[str, Any]:
    """How many of the latest observations came from each cluster, user and so on."""
    counted: dict[str, Counter[str]] = {}
    latest, seen = log.latest_sources(found.pk, LATEST)
    for source in latest:
        for name, value in source.items():
            counted.setdefault(name, Counter())[str(value)[:100]] += 1
    rows = [
        {"name": name, "top": values.most_common(8), "others": max(0, len(values) - 8)}
        for name, values in sorted(counted.items())
    ]
    return {"rows": rows, "of": seen}


def _log(request: HttpRequest, found: Stream) -> dict[str, Any]:
    """A page of the log, the newest first, that ends with the observation ``n`` of the URL."""
    n = parameters.whole(request, "n")
    if n is not None and n > found.head:
        raise Invalid(f"n is {n:,}: expected at most {found.head:,}, the last observation", field="n")
    last = found.head if n is None else n
    after = max(found.dropped, last - PAGE)
    names = dict(Model.objects.filter(stream=found).values_list("pk", "name"))
    reasons = dict(Retraction.objects.filter(stream=found, seq__gt=after, seq__lte=last).values_list("seq", "reason"))
    rows = []
    for span in log.spans(found.pk, after, last):
        for offset, (x, y) in enumerate(zip(span.xs, span.ys, strict=True)):
            seq = span.first + offset
            note = span.notes.get(offset, {})
            rows.append(
                {
                    "n": seq,
                    "at": log.moment(span.at),
                    "y": y,
                    "x": None if x is None else dumps_text(x),
                    "key": note.get("key"),
                    "source": note.get("source") or {},
                    "retracted": reasons.get(seq),
                    "answers": [
                        (name, by[offset], span.skipped.get(pk, {}).get(offset))
                        for pk, name in names.items()
                        if (by := span.predictions.get(pk)) is not None and offset < len(by)
                    ],
                }
            )
    return {
        "rows": rows[::-1],
        "n": n,
        "older": after if after > found.dropped else None,
        "newer": min(found.head, last + PAGE) if last < found.head else None,
    }


# Retraction


def suspects(request: HttpRequest, name: str) -> HttpResponse:
    """GET: the rehearsal of a retraction."""
    found = parameters.find_stream(request, name)
    try:
        seqs = _suspects(request.GET, found)
    except Invalid as exc:
        return refused(request, "suspects", exc, **_choice(request, found, []))
    shown = _choice(request, found, seqs)
    chosen = request.GET.get("model") or (shown["models"][0] if shown["models"] else None)
    if not seqs or chosen is None:
        return page(request, "suspects", **shown)
    model = parameters.find_model(request, chosen)
    if model.stream_id != found.pk or model.flavor != "regression":
        raise Invalid(f"model is {chosen[:80]!r}: expected a regression model of stream {found.name}", field="model")
    try:
        result = rehearsal.rehearse(model, seqs, caller_key(request))
    except Invalid as exc:
        return page(request, "suspects", exc.status, wrong={"form": exc.message}, model=model, **shown)
    return page(request, "suspects", model=model, result=result, chart=_rehearsed(request, model, result), **shown)


def _suspects(given: Any, found: Stream) -> list[int]:
    """Numbers of the chosen observations: ``seq`` (numbers and ranges), or all with a ``source`` of some ``value``."""
    seqs: set[int] = set()
    for word in " ".join(given.getlist("seq")).replace(",", " ").split():
        low, dash, high = word.partition("-")
        numbers = (low, high) if dash else (low, low)
        if not all(part.isascii() and part.isdigit() and len(part) <= parameters.MOST_DIGITS for part in numbers):
            raise Invalid(
                f"{word[:40]!r} is no observation: expected numbers and ranges, such as 17 or 30-45", field="seq"
            )
        first, last = (int(part) for part in numbers)
        if not 1 <= first <= last <= found.head:
            raise Invalid(f"{word} is out of range: expected numbers from 1 to {found.head:,}", field="seq")
        if last - first >= rehearsal.MOST_SUSPECTS or len(seqs) + last - first >= rehearsal.MOST_SUSPECTS:
            raise Invalid(f"more than {rehearsal.MOST_SUSPECTS:,} observations are chosen: choose fewer", field="seq")
        seqs.update(range(first, last + 1))
    source, value = given.get("source", "").strip(), given.get("value", "").strip()
    if source or value:
        if not (source and value):
            raise Invalid("source and value go together, such as job and 4711", field="source")
        named = rehearsal.with_source(found.pk, found.head, source, value)
        if not named:
            raise Invalid(
                f"none of the latest {rehearsal.MOST_SEARCHED:,} observations has {source[:60]} {value[:60]}",
                field="value",
            )
        seqs.update(named)
    return sorted(seqs)


def _choice(request: HttpRequest, found: Stream, seqs: list[int]) -> dict[str, Any]:
    given = request.POST if request.method == "POST" else request.GET
    names = Model.objects.filter(stream=found, flavor="regression").order_by("name").values_list("name", flat=True)
    return {
        "stream": found,
        "seqs": seqs,
        "shown": seqs[:SUSPECT_SHOWN],
        "models": list(names[:100]),
        "may_retract": _may_retract(request),
        "chosen": {name: given.get(name, "") for name in ("source", "value", "model")}
        | {"seq": " ".join(given.getlist("seq"))},
    }


def _rehearsed(request: HttpRequest, model: Model, result: dict[str, Any]) -> Chart:
    own = f" {model.stream.target_unit}" if model.stream.target_unit else ""
    curve = result["curve"]
    with_them, without = result["with"]["RMSE"], result["without"]["RMSE"]
    sentence = "No observation after them was scored by both, so there is nothing to compare."
    if with_them is not None and without is not None:
        change = "lower" if without < with_them else "higher" if without > with_them else "the same"
        sentence = (
            f"Without them, the RMSE over {number(result['compared'])} other observations is {number(without)} instead of "
            f"{number(with_them)}{own}: {change}."
        )
        if result["upto"] < result["head"]:
            sentence += f" The time of a request was enough up to observation {number(result['upto'])}."
    return Chart(
        "rehearsal",
        f"Error of {model.name} with and without them",
        sentence,
        "observation",
        f"RMSE ({model.stream.target_unit})" if own else "RMSE",
        curve["n"],
        [Series("with them", curve.get("with", []), tone=1), Series("without them", curve.get("without", []), tone=0)],
        url=f"/streams/{quote(model.stream.name)}/suspects/?{urlencode({'model': model.name})}",
    )


def retract(request: HttpRequest, name: str) -> HttpResponse:
    """POST: the retraction."""
    found = parameters.find_stream(request, name)
    caller = caller_of(request)
    seqs: list[int] = []
    try:
        seqs = _suspects(request.POST, found)
        if not seqs:
            raise Invalid("no observation is chosen: choose those that are wrong", field="seq")
        by = "" if caller is None else caller.username
        new = registry.retract_all(found, seqs, request.POST.get("reason", ""), by)
    except Invalid as exc:
        return refused(request, "suspects", exc, **_choice(request, found, seqs))
    messages.success(
        request,
        f"{number(new)} observation{'' if new == 1 else 's'} retracted. The models are rebuilt without them in the "
        "background and serve on meanwhile.",
    )
    return to(f"/streams/{quote(found.name)}/")
