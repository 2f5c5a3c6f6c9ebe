"""Cells of CSV that a spreadsheet may open: text that it would take for a formula is written so that it stays text."""

SAFE = ("excel",)
"""Values of the query parameter ``safe``."""

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def guarded(text: str) -> str:
    """The text, with an apostrophe before it if Excel, LibreOffice or Sheets would calculate it.

    For text alone: a number is written as it is, whatever its sign.
    """
    return f"'{text}" if text.startswith(_STARTS) else text
