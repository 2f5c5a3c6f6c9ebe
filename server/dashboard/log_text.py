"""Output of jobs as text for a page: without what a terminal would obey, or what would reorder the lines."""

import re

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colors and movements of the cursor
    r"|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)"  # titles and links
    r"|[()#][0-9A-Za-z]|[=>NOc78DEHMZ])"
)
_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS = {n: 0x2400 + n for n in range(32) if n not in (9, 10)} | {127: 0x2421}
_CONTROLS |= dict.fromkeys([*range(0x80, 0xA0), 0x2028, 0x2029, 0xFFFE, 0xFFFF], 0xFFFD)


def readable(text: str) -> str:
    """Return text of which nothing acts.

    Sequences for terminals are left out. Other control characters are shown as their pictures, such as ␀ for NUL. Lines that
    overwrite each other (progress bars) stand below each other.
    """
    lines = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _REORDERING.sub("\N{REPLACEMENT CHARACTER}", lines).translate(_CONTROLS)
