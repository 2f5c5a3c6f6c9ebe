"""Template tags and filters of the pages: ``{% load pages %}``."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html

from server.dashboard import formatting

register = template.Library()

LONGEST_RESULT = 40
"""Characters of a text that a table of results shows whole."""

register.filter("number", formatting.number)
register.filter("rate", formatting.rate)
register.filter("share", formatting.share)
register.filter("size", formatting.size)
register.simple_tag(formatting.sparkline, name="sparkline")


@register.filter
def number_or_text(value: Any) -> str:
    """A number as :func:`server.dashboard.formatting.number` writes it; anything else as text."""
    return formatting.number(value) if isinstance(value, (int, float)) else str(value)


@register.filter
def moment(value: Any, nothing: str = formatting.NONE) -> str:
    """A time, exact to the minute: local with UTC beside it, or UTC alone without scripts."""
    return formatting.time_element(_parsed(value), nothing=nothing)


@register.filter
def age(value: Any, nothing: str = formatting.NONE) -> str:
    """A time as its age, with the exact time on hover."""
    return formatting.time_element(_parsed(value), as_age=True, nothing=nothing)


@register.filter
def cell(value: Any) -> str:
    """A value in a table: a number as pages show it, text, or anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return formatting.number(value)
    return json.dumps(value, ensure_ascii=False, default=str)


@register.filter
def result(value: Any) -> str:
    """A value of a result: a number with ten significant digits; of a long text, the beginning."""
    if isinstance(value, float):
        return formatting.number(value, 10)
    if isinstance(value, str) and len(value) > LONGEST_RESULT:
        return format_html('<span title="{}">{}…</span>', value[:200], value[:16])
    return cell(value)


@register.filter
def pretty(value: Any) -> str:
    """Plain data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _parsed(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
