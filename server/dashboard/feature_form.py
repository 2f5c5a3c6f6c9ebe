"""Forms that are made of a stream's features: what each may be, what was seen, and what a URL gives."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from server.core.errors import Invalid
from server.core.validation import format_value
from server.dashboard import parameters
from server.dashboard.formatting import number
from server.dashboard.rendering import caller_of
from server.learning.fold import familiarity
from server.streams import log
from server.streams.feature_summary import BOOLEAN, CATEGORY, COUNT, HIGH, KIND, LOW, NUMBER, VALUES, Summary
from server.streams.models import Stream

MOST_FIELDS = 100
"""Most features that a form has fields for. The others are as in the observation that the form began with."""

LONGEST_MORE = 20_000
PREFIX = "x."
"""Begins the names of features in URLs, so that a feature may be named as another parameter is."""

NUMBERS = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
LEAST, GREATEST = -(2**63), 2**64 - 1
KINDS = {NUMBER: "number", BOOLEAN: "boolean", CATEGORY: "category"}


@dataclass
class Feature:
    """One field of the form.

    Attributes
    ----------
    name
        Name of the feature.
    kind
        ``number``, ``boolean``, ``category``; empty if it had values of several kinds, or none yet.
    low, high
        Smallest and largest number that was seen; None if that is not known.
    values
        Texts that were seen, if they are few.
    count
        Observations that had it; None if that is not known.
    text
        What the field shows.
    error
        What is wrong with it.
    """

    name: str
    kind: str = ""
    low: float | None = None
    high: float | None = None
    values: list[str] = field(default_factory=list)
    count: int | None = None
    text: str = ""
    error: str = ""

    @property
    def parameter(self) -> str:
        return PREFIX + self.name

    @property
    def hint(self) -> str:
        """What is known of its values, in words."""
        if self.kind == "number" and self.low is not None and self.high is not None:
            if self.low == self.high:
                return f"always {number(self.low)} so far"
            return f"{number(self.low)} to {number(self.high)} so far"
        if self.values:
            shown = ", ".join(self.values[:3])
            few = len(self.values) <= 3 and len(shown) <= 40
            return f"{shown} so far" if few else f"{len(self.values)} values so far"
        return {"number": "a number", "boolean": "true or false", "category": "text"}.get(self.kind, "any value")


@dataclass
class FeatureForm:
    """The form of a stream's features.

    Attributes
    ----------
    features
        Its fields.
    base, base_n
        Features of the observation that it began with, and its number; None if there is none.
    others
        Names of features that have no field: they are as in that observation.
    more
        Text of the field for further features.
    is_sent
        Whether the URL gives features.
    x
        The features that the URL or the observation gives.
    """

    features: list[Feature]
    base: dict[str, Any] | None = None
    base_n: int | None = None
    others: list[str] = field(default_factory=list)
    more: str = ""
    more_error: str = ""
    is_sent: bool = False
    x: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        return bool(self.more_error) or any(one.error for one in self.features)

    @property
    def numbers(self) -> list[Feature]:
        """Features that a curve can go over."""
        return [one for one in self.features if one.kind == "number"]


def may_read(request: HttpRequest) -> bool:
    """Whether the person may see what a stream has seen."""
    caller = caller_of(request)
    return caller is None or caller.may("read")


def read(request: HttpRequest, stream: Stream) -> FeatureForm:
    """Return the form with what the URL gives, or else with the latest observation."""
    form = _blank(request, stream)
    given = {name[len(PREFIX) :]: str(value) for name, value in request.GET.items() if name.startswith(PREFIX)}
    form.more = request.GET.get("more", "").replace("\r\n", "\n")
    form.is_sent = bool(given) or "more" in request.GET
    if not form.is_sent:
        form.x = dict(form.base or {})
        return form
    known = {one.name for one in form.features}
    for name, text in given.items():
        if name not in known:
            form.features.append(Feature(name, text=text))
    for one in form.features:
        one.text = given.get(one.name, "")
        try:
            if one.text.strip():
                form.x[one.name] = parsed(one.name, one.text, one.kind)
        except Invalid as exc:
            one.error = exc.message
    form.x |= {name: (form.base or {})[name] for name in form.others}
    try:
        form.x |= _more(form.more)
    except Invalid as exc:
        form.more_error = exc.message
    return form


def _blank(request: HttpRequest, stream: Stream) -> FeatureForm:
    wanted = parameters.whole(request, "base")
    form = FeatureForm([])
    if not may_read(request):
        form.features = [Feature(name, kind) for name, kind in (stream.features or {}).items()][:MOST_FIELDS]
        return form
    form.base_n = wanted if wanted is not None and wanted <= stream.head else stream.head or None
    if form.base_n is not None:
        form.base = next((xs[0] for _, xs in log.features(stream.pk, form.base_n - 1, form.base_n) if xs), None)
        if form.base is None:
            if wanted is not None:
                form.notes.append(
                    f"Observation {number(form.base_n)} is no longer kept: features without a field are left out."
                )
            form.base_n = None
    summary = _summary(stream)
    declared: dict[str, str] = stream.features or {}
    names = [
        *(form.base or {}),
        *declared,
        *([] if declared else sorted(summary.features, key=lambda n: _rank(summary, n))),
    ]
    names = list(dict.fromkeys(names))
    for name in names[:MOST_FIELDS]:
        one = _feature(name, declared.get(name), summary)
        if form.base is not None and name in form.base:
            one.text = written(form.base[name], one.kind)
        form.features.append(one)
    form.others = [name for name in names[MOST_FIELDS:] if name in (form.base or {})]
    return form


def _rank(summary: Summary, name: str) -> tuple[int, str]:
    return -summary.features[name][COUNT], name


def _summary(stream: Stream) -> Summary:
    """What the stream has seen; of one that declares its features, what its earliest and latest observations have."""
    found = familiarity.known(stream)
    if found is None:
        found = Summary(ranged=stream.descriptor is None)
        for xs, _ in log.sample(stream.pk):
            found.add(xs, stream.head)
    return found


def _feature(name: str, declared: str | None, summary: Summary) -> Feature:
    seen = summary.features.get(name)
    if seen is None:
        return Feature(name, declared or "")
    one = Feature(name, declared or KINDS.get(seen[KIND], ""), count=seen[COUNT])
    if math.isfinite(seen[LOW]) and math.isfinite(seen[HIGH]):
        one.low, one.high = seen[LOW], seen[HIGH]
    if one.kind == "category" and seen[VALUES]:
        one.values = sorted(seen[VALUES])
    return one


def written(value: Any, kind: str) -> str:
    """Return a value as a field shows it, so that :func:`parsed` returns the same value."""
    if isinstance(value, str) and (kind == "category" or _any(value) == value):
        return value
    return json.dumps(value, ensure_ascii=False)


def parsed(name: str, text: str, kind: str) -> Any:
    """Return the value of a text.

    Parameters
    ----------
    name
        The feature, for messages.
    text
        What was written.
    kind
        ``number``, ``boolean``, ``category``, or empty: a number, a boolean, a text in double quotes, or else a text.

    Raises
    ------
    Invalid
        If it is no value of that kind.
    """
    label = format_value(name)
    if kind == "category":
        return text
    if kind == "boolean":
        if text.strip().lower() not in ("true", "false"):
            raise Invalid(f"{label} is {format_value(text)}: expected true or false", field=PREFIX + name)
        return text.strip().lower() == "true"
    value = _any(text)
    if kind == "number" and (isinstance(value, (str, bool))):
        raise Invalid(f"{label} is {format_value(text)}: expected a number, such as 8 or 2.5", field=PREFIX + name)
    return value


def _any(text: str) -> Any:
    bare = text.strip()
    if bare in ("true", "false"):
        return bare == "true"
    if len(bare) < 400 and NUMBERS.fullmatch(bare):
        value = int(bare) if WHOLE.fullmatch(bare) and LEAST <= int(bare) <= GREATEST else float(bare)
        return value if math.isfinite(value) else text
    if len(bare) >= 2 and bare[0] == bare[-1] == '"':
        try:
            found = json.loads(bare)
        except ValueError:
            return text
        return found if isinstance(found, str) else text
    return text


def _more(text: str) -> dict[str, Any]:
    """Return further features, written as ``name=value``, one a line."""
    if len(text) > LONGEST_MORE:
        raise Invalid(f"further features take {len(text)} characters: at most {LONGEST_MORE} are read", field="more")
    found: dict[str, Any] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or not name.strip():
            raise Invalid(f"{format_value(line)} is not a feature: expected name=value, one a line", field="more")
        if value.strip():
            found[name.strip()] = parsed(name, value, "")
    return found


def numeric(x: Mapping[str, Any], name: str) -> float | None:
    """Return the value of a feature if it is a number."""
    value = x.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
