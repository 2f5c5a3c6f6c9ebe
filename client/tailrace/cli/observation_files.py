"""Observations in a file, for `tailrace post --file`: CSV with a header line, or one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tailrace.cli.point_files import rows_in
from tailrace.errors import Unusable
from tailrace.observations.exported_rows import features_of, is_exported
from tailrace.observations.rows import Cells
from tailrace.observations.text_values import TextFeatures

__all__ = ["observations_in"]


MOST_NAMED = 8


def observations_in(name: str, target: str, key: str | None) -> Iterator[Cells]:
    """Yields the observations of a file, without those that an export marks as retracted.

    Features and targets that were read from text keep the text (`tailrace.observations.text_values.TextFeatures`).

    Parameters
    ----------
    target, key
        Names of the column (or JSON member) with the target and with the key. If no key is named, the keys of an exported
        log, or of objects with members ``x`` and ``y``, are in ``key``, and other rows have none.

    Raises
    ------
    Unusable
        If the file cannot be read, a line has no target, or the first one lacks the key that is named. The message
        names the line.
    """
    has_keys = False
    for number, row in rows_in(name):
        place = f"{name}, line {number}"
        texts: Mapping[str, str] = getattr(row, "texts", {})
        if is_exported(row) or isinstance(row.get("x"), dict):
            x, of_key = features_of(row) if is_exported(row) else row["x"], key or "key"
        else:
            x = TextFeatures({feature: value for feature, value in row.items() if feature not in (target, key)})
            x.texts = {feature: text for feature, text in texts.items() if feature in x}
            of_key = key or ""
        y, own = row.get(target), texts.get(of_key, row.get(of_key))
        # The reason of a retraction may be any text, such as 0 or false.
        retracted = texts.get("retracted", row.get("retracted"))
        if retracted not in (None, False) and (is_exported(row) or isinstance(row.get("x"), dict)):
            continue
        if y is None:
            raise Unusable(
                f"{place}: it has no target {target!r}: name the target's column with --y; the line has {_named(row)}"
            )
        if own is None and key is not None and not has_keys:
            raise Unusable(
                f"{place}: it has no key {key!r}: name the column of keys with --key; the line has {_named(row)}"
            )
        has_keys = True
        yield Cells(place, x, y, own, texts.get(target))


def _named(row: Mapping[str, object]) -> str:
    return ", ".join(map(str, list(row)[:MOST_NAMED])) or "nothing"
