"""Texts that were numbers until a spreadsheet, a locale or a full column changed them."""

from __future__ import annotations

import re

from tailrace.observations.text_values import NUMBER

__all__ = ["damage_of"]

_ERROR = re.compile(r"#(?:DIV/0|VALUE|REF|NAME|NUM|NULL|SPILL|CALC)[!?]")
_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_KINDS = (
    (re.compile(r"\*{2,}"), "a number that did not fit its column"),
    (re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)[dD][+-]?[0-9]+"), "a number in Fortran's notation: write e instead of d"),
    (re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)[+-][0-9]{3}"), "a number in Fortran's notation: write e before the exponent"),
    (re.compile(r"[+-]?(?:1\.#(?:QNAN|SNAN|IND|INF)[0-9]*|nan\((?:ind|snan)\))", re.IGNORECASE), "a number that is not finite"),
    (re.compile(rf"[\u2012\u2013\u2212] ?{_DIGITS}(?:[eE][+-]?[0-9]+)?"), "a number with a dash instead of the sign -"),
    (re.compile(r"[+-]?[0-9]{1,3}(?:[ \u00a0\u2009\u202f'][0-9]{3})+(?:[.,][0-9]+)?"), "a number with separated thousands"),
)  # fmt: skip
_ODD_BLANKS = "\0\x0b\x0c\u00a0\u2007\u2009\u200b\u202f\ufeff"
_COMMA = re.compile(r"[+-]?(?:[0-9]+(?:,[0-9]+)+(?:\.[0-9]+)?|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+)(?:[eE][+-]?[0-9]+)?")


def damage_of(text: str, commas: bool = True) -> str | None:
    """Returns what a text seems to be instead of the number that was meant; None if it may be meant as it is.

    With `commas`, digits with commas between them count as a number. They may also be a list, such as 0,1.

    >>> damage_of("2,5"), damage_of("#DIV/0!"), damage_of("Cu-Zr")
    ('a number with commas', 'an error of a spreadsheet', None)
    """
    if _ERROR.fullmatch(text):
        return "an error of a spreadsheet"
    if commas and _COMMA.fullmatch(text):
        return "a number with commas"
    if (bare := text.strip(_ODD_BLANKS)) != text and NUMBER.fullmatch(bare):
        return "a number beside a character that is not seen, such as a no-break space"
    return next((said for kind, said in _KINDS if kind.fullmatch(text)), None)
