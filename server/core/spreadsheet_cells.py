"""Escaping of CSV cells that a spreadsheet would evaluate as formulas."""

SAFE_FORMATS = ("excel",)
"""Allowed values of the query parameter ``safe``."""

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def escape_formula(text: str) -> str:
    """Return the text, preceded by an apostrophe if Excel, LibreOffice or Sheets would evaluate it as a formula.

    Use it for text only. Numbers need no escaping, whatever their sign.
    """
    return f"'{text}" if text.startswith(_STARTS) else text
