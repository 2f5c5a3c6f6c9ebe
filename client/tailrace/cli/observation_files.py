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
        Names of the column (or JSON member) with the target and with the key, if there is one. An exported log has its
        own names.

    Raises
    ------
    Unusable
        If the file cannot be read, or a line has no target. The message names the line.
    """
    for number, row in rows_in(name):
        place = f"{name}, line {number}"
        texts: Mapping[str, str] = getattr(row, "texts", {})
        if is_exported(row) or isinstance(row.get("x"), dict):
            x, of_y, of_key = features_of(row) if is_exported(row) else row["x"], "y", "key"
        else:
            x = TextFeatures({feature: value for feature, value in row.items() if feature not in (target, key)})
            x.texts = {feature: text for feature, text in texts.items() if feature in x}
            of_y, of_key = target, key or ""
        y, own = row.get(of_y), texts.get(of_key, row.get(of_key))
        if row.get("retracted") and (is_exported(row) or isinstance(row.get("x"), dict)):
            continue
        if y is None:
            others = ", ".join(map(str, list(row)[:MOST_NAMED])) or "nothing"
            raise Unusable(
                f"{place}: it has no target {target!r}: name the target's column with --y; the line has {others}"
            )
        yield Cells(place, x, y, own, texts.get(of_y))
