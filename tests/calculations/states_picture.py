"""The diagram of states as SVG, for the documentation. An arrow may stand for several moves; a test compares all with the table."""

from typing import NamedTuple

from server.calculations.states import (
    AGENT,
    BLOCKED,
    CANCELLED,
    CLAIMED,
    DONE,
    FAILED,
    HELD,
    IDLE,
    PERMITTED,
    PERSON,
    QUEUED,
    READY,
    RETRIED,
    RUNNING,
    SERVER,
    SETTLING,
    STATES,
    SUBMITTED,
    UNCONVERGED,
    WAITING,
)  # fmt: skip

WIDTH, HEIGHT = 900, 640
BOX = 120, 34
PLACES = {
    HELD: (110, 90), WAITING: (110, 180), READY: (110, 270), BLOCKED: (110, 440), CLAIMED: (400, 90), PERMITTED: (400, 180),
    QUEUED: (400, 255), RUNNING: (400, 330), SETTLING: (400, 405), DONE: (710, 90), UNCONVERGED: (710, 225), FAILED: (710, 300),
    CANCELLED: (710, 375),
}  # fmt: skip
GROUPS = (
    ("nothing runs", 90, 62, 160, 260),
    ("an agent has it", 370, 62, 180, 426),
    ("a job may exist", 385, 152, 150, 322),
    ("no valid result", 690, 197, 160, 230),
)


class Arrow(NamedTuple):
    """An arrow: what it stands for, where it runs, and its words at a place."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    who: str
    path: str
    words: str = ""
    at: tuple[int, int] = (0, 0)


ARROWS = (
    Arrow((HELD,), (WAITING,), PERSON, "M150 124 V180", "released", (156, 156)),
    Arrow((HELD,), (READY,), PERSON, "M110 107 H100 V280 H110"),
    Arrow((WAITING,), (READY,), SERVER, "M150 214 V270", "parents done", (156, 240)),
    Arrow((READY,), (CLAIMED,), AGENT, "M230 277 H290 V102 H400", "agent", (294, 96)),
    Arrow((CLAIMED,), (READY,), AGENT, "M400 114 H305 V287 H230", "given back", (252, 337)),
    Arrow((CLAIMED,), (READY,), SERVER, "M415 124 V136 H320 V297 H230", "", (0, 0)),
    Arrow((WAITING, READY, CLAIMED), (HELD,), PERSON, "M505 90 V36 H210 V90", "person holds it: waiting, ready, claimed", (222, 30)),
    Arrow((CLAIMED,), (PERMITTED,), AGENT, "M490 124 V180", "agent", (496, 143)),
    *(Arrow((one,), SUBMITTED[n + 1 :], AGENT, f"M460 {PLACES[one][1] + 34} V{PLACES[one][1] + 75}")
      for n, one in enumerate(SUBMITTED[:-1])),
    Arrow(SUBMITTED, (READY,), PERSON, "M385 460 H345 V307 H230", "undecided: person", (256, 478)),
    Arrow(SUBMITTED, (DONE,), AGENT, "M535 170 H620 V107 H710", "agent: a valid result", (566, 100)),
    Arrow(SUBMITTED, (UNCONVERGED,), AGENT, "M535 242 H710", "agent: not converged", (556, 236)),
    Arrow((CLAIMED, *SUBMITTED), (FAILED,), AGENT, "M550 308 H710", "agent: no result", (556, 302)),
    Arrow(SUBMITTED, (FAILED,), PERSON, "M535 326 H710", "undecided: person", (556, 341)),
    Arrow((CLAIMED, *SUBMITTED), (CANCELLED,), AGENT, "M550 392 H710", "agent: job cancelled", (556, 386)),
    Arrow(IDLE, (BLOCKED,), SERVER, "M170 322 V440", "server: a parent has", (176, 400)),
    Arrow((BLOCKED,), (WAITING, READY), SERVER, "M110 457 H62 V250 H90", "no valid result", (176, 415)),
    Arrow((BLOCKED,), (HELD,), SERVER, "M110 467 H76 V110 H110", "", (0, 0)),
    Arrow((*IDLE, CLAIMED, BLOCKED), (CANCELLED,), PERSON, "M230 457 H245 V520 H770 V409",
          "person cancels: held, waiting, ready, claimed, blocked", (256, 514)),
    Arrow(RETRIED, (READY, WAITING), PERSON, "M850 330 H880 V560 H42 V210 H90",
          "person runs it again: unconverged, failed, cancelled", (256, 554)),
    Arrow((UNCONVERGED, FAILED), (READY,), SERVER, "M850 290 H890 V590 H28 V170 H90",
          "server: a handler corrects what is unconverged or failed; a parent of a blocked step runs again or is done", (60, 584)),
)  # fmt: skip

STYLE = """
.page { fill: #fff; } .group { fill: #f4f6f8; stroke: #8a94a0; } .inner { fill: #e9edf1; stroke: #8a94a0; stroke-dasharray: 4 3; }
.box { fill: #fff; stroke: #8a94a0; } .done { fill: #dcecdc; stroke: #4f8a4f; } text { fill: #1a1a1a; } .name { text-anchor: middle; }
.small { font-size: 12px; fill: #444; } path { fill: none; stroke-width: 1.6; }
.server { stroke: #5b6570; stroke-dasharray: 6 4; } .agent { stroke: #0a5c8f; } .person { stroke: #b4500a; stroke-dasharray: 2 3; }
""".strip()
COLORS = {SERVER: "#5b6570", AGENT: "#0a5c8f", PERSON: "#b4500a"}


def svg() -> str:
    """Return the picture."""
    parts = [f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>']
    for name, x, y, width, height in GROUPS:
        kind = "inner" if name == "a job may exist" else "group"
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        parts.append(f'<text class="small" x="{x + 8}" y="{y + 17}">{name}</text>')
    parts += [f'<path class="{one.who}" d="{one.path}" marker-end="url(#{one.who})"/>' for one in ARROWS]
    for state, (x, y) in PLACES.items():
        kind = "done" if state == DONE else "box"
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="4"/>')
        parts.append(f'<text class="name" x="{x + BOX[0] // 2}" y="{y + 22}">{state}</text>')
    parts += [f'<text class="small" x="{one.at[0]}" y="{one.at[1]}">{one.words}</text>' for one in ARROWS if one.words]
    for n, (who, words) in enumerate(((AGENT, "the agent"), (PERSON, "a person"), (SERVER, "the server"))):
        x = 60 + 130 * n
        parts.append(f'<path class="{who}" d="M{x} 620 H{x + 36}" marker-end="url(#{who})"/>')
        parts.append(f'<text class="small" x="{x + 44}" y="624">{words}</text>')
    markers = "".join(
        f'<marker id="{who}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L10 5 L0 10 z" style="fill:{color}"/></marker>'
        for who, color in COLORS.items()
    )
    said = "Who moves a step from which state to which. The table of moves below says the same."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="14" role="img" '
        f'aria-labelledby="title description">\n<title id="title">States of a step</title>\n<desc id="description">{said}</desc>\n'
        f"<defs>{markers}<style>\n{STYLE}\n</style></defs>\n" + "\n".join(parts) + "\n</svg>\n"
    )


assert set(PLACES) == set(STATES)
