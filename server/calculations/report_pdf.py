"""Reports of calculations as PDF, written by ReportLab with the fonts DejaVu, which have Greek and the signs of units."""

import io
import re
from functools import cache, partial
from typing import Any
from xml.sax.saxutils import escape

from django.contrib.staticfiles import finders
from PIL import Image as Picture
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from server.calculations import states

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
MOST_COLUMNS, LONGEST_CELL, LONGEST_TEXT = 8, 400, 20_000
MOST_CHARACTERS, LEAST_OF_CELL, SHORT = 200_000, 15, 10
"""Most characters of a report, of which each cell takes some at least. The RO-Crate has all. SHORT texts fit in any cell."""

MOST_PIXELS, MOST_SIDE = 20_000_000, 1_600
"""Pictures with more pixels are not shown; those with a longer side are made smaller."""

GRAY, LINE, HEAD = colors.HexColor("#57606a"), colors.HexColor("#d0d7de"), colors.HexColor("#f3f5f7")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@cache
def _fonts() -> tuple[str, str]:
    """Register the fonts, and return their names: regular and bold."""
    names = []
    for name in ("DejaVuSans", "DejaVuSans-Bold"):
        path = finders.find(f"vendor/dejavu-fonts-ttf/{name}.ttf")
        if path is None:
            raise RuntimeError(f"{name}.ttf is missing below server/dashboard/static/vendor: run make setup")
        pdfmetrics.registerFont(TTFont(name, path))
        names.append(name)
    return names[0], names[1]


def pdf(report: dict[str, Any]) -> bytes:
    """Return a report as PDF.

    Parameters
    ----------
    report
        As :func:`server.calculations.report_data.shown` gives it.
    """
    written = io.BytesIO()
    document = SimpleDocTemplate(
        written, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=_clean(f"{report['name']}: report of calculation {report['id']}"), author=_clean(report["created_by"]),
        subject=_clean(f"Calculation {report['id']} with {report['program']}"), creator="Tailrace", lang="en",
    )  # fmt: skip
    foot = partial(_foot, number=report["id"], made=f"{report['made_at']:%Y-%m-%d %H:%M} UTC")
    document.build(_Report(report).parts, onFirstPage=foot, onLaterPages=foot)
    return written.getvalue()


def _foot(canvas: Any, document: Any, number: int, made: str) -> None:
    canvas.setFont(_fonts()[0], 7)
    canvas.setFillColor(GRAY)
    canvas.drawString(MARGIN, MARGIN / 2, f"Calculation {number}; made {made} by Tailrace from validated results only")
    canvas.drawRightString(A4[0] - MARGIN, MARGIN / 2, f"page {document.page}")


def _clean(text: Any) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text).replace("\r\n", "\n"))


class _Report:
    """The parts of a report, from top to bottom."""

    def __init__(self, report: dict[str, Any]) -> None:
        regular, bold = _fonts()
        body = ParagraphStyle("body", fontName=regular, fontSize=9, leading=12.5, spaceAfter=4, splitLongWords=1)
        self._body = body
        self._note = ParagraphStyle("note", body, textColor=GRAY, fontSize=8, leading=11)
        self._heads = [
            ParagraphStyle("title", body, fontName=bold, fontSize=16, leading=20, spaceAfter=6),
            ParagraphStyle("step", body, fontName=bold, fontSize=12, leading=16, spaceBefore=14, keepWithNext=1),
            ParagraphStyle("part", body, fontName=bold, spaceBefore=6, keepWithNext=1),
        ]
        self._cell = ParagraphStyle("cell", body, fontSize=8, leading=10.5, spaceAfter=0)
        self._label = ParagraphStyle("label", self._cell, fontName=bold)
        self._left = MOST_CHARACTERS
        self.parts: list[Flowable] = []
        self._summary(report)
        for number, step in enumerate(report["results"]):
            if self._left <= 0:
                self._say(f"{len(report['results']) - number:,} more steps are in the RO-Crate.", self._note)
                break
            self._step(step)

    def _say(self, text: Any, style: ParagraphStyle | None = None, *, longest: int = LONGEST_TEXT) -> None:
        """Add text, a paragraph for each line."""
        for line in _cut(_clean(text), longest).split("\n"):
            if line.strip():
                self._left -= len(line)
                self.parts.append(Paragraph(escape(line), style or self._body))

    def _summary(self, report: dict[str, Any]) -> None:
        self._say(report["name"], self._heads[0])
        self._say(f"Calculation {report['id']} with {report['program']}: {report['state']}")
        self._say(report["description"])
        by = f" by {report['created_by']}" if report["created_by"] else ""
        structure = report["structure"] or {}
        facts = [
            ("Submitted", f"{report['created_at']:%Y-%m-%d %H:%M} UTC{by}"),
            ("Approved", f"by {report['approved_by']}" if report["approved_by"] else ""),
            ("Ended", f"{report['ended_at']:%Y-%m-%d %H:%M} UTC" if report["ended_at"] else ""),
            ("Cluster", report["cluster"]),
            ("Structure", f"{structure.get('name') or ''} {structure.get('formula') or ''}".strip()),
            ("Steps", f"{report['done']} of {report['total']} with a valid result"),
            ("Fingerprint", report["fingerprint"]),
        ]
        self._table([], [fact for fact in facts if fact[1]], (0.2, 0.8))

    def _step(self, step: dict[str, Any]) -> None:
        self._say(f"Step {step['name']}", self._heads[1])
        self._say(": ".join(filter(None, (step["state"], step["reason"]))))
        if step["state"] != states.DONE:
            self._say("This step has no valid result, so it has no values here.", self._note)
        self._say(step["report"])
        self._values("Values", step["values"])
        for table in step["shown_tables"]:
            self._result_table(table)
        for analysis in step["analyses"]:
            reason = f", {analysis['reason']}" if analysis.get("reason") else ""
            self._say(f"Analysis {analysis['name']}: {analysis['state']}{reason}", self._heads[2])
            self._say(analysis.get("report") or "")
            self._values("", analysis.get("values") or {})
        for picture in step["pictures"]:
            self._picture(picture)
        if step["parameters_shown"]:
            self._say("Parameters", self._heads[2])
            self._table([], step["parameters_shown"], (0.3, 0.7))
        made = step["provenance"]
        if made is not None:
            host = f" ({made['host']})" if made["host"] else ""
            job = f", job {made['job']}" if made["job"] else ""
            where = f"{step['program']} {made['version']} on {made['cluster']}{host}{job}"
            self._say(f"{where}; attempt {made['fence']} of {made['attempts']}.", self._note)

    def _values(self, title: str, values: dict[str, Any]) -> None:
        if values:
            self._say(title, self._heads[2])
            rows = [(name, one["value"], one.get("unit") or "") for name, one in values.items()]
            self._table(["Value", "", "Unit"], rows, (0.4, 0.4, 0.2))

    def _result_table(self, table: dict[str, Any]) -> None:
        self._say(table["name"], self._heads[2], longest=LONGEST_CELL)
        names = [f"{name} ({unit})" if unit else name for name, unit in table["columns"].items()]
        across = min(len(names), MOST_COLUMNS)
        shown = self._table(
            names[:across], [row[:across] for row in table["rows"]], (1 / max(across, 3),) * across
        )  # fmt: skip
        left_out = len(table["rows"]) - shown + table["left_out"]
        more = [f"{left_out:,} more rows"] if left_out else []
        more += [f"{len(names) - across:,} more columns"] if len(names) > across else []
        if more:
            self._say(f"{' and '.join(more)} are in the RO-Crate.", self._note)

    def _table(self, names: list[str], rows: list[Any], widths: tuple[float, ...]) -> int:
        """Add a table, as long as characters are left. Return the number of rows that are shown."""
        head = [[self._text(name, self._label) for name in names]] if names else []
        first, body = self._cell if names else self._label, []
        for row in rows:
            if self._left <= 0:
                break
            body.append([self._text(row[0], first), *(self._text(value, self._cell) for value in row[1:])])
        if not body:
            return 0
        style = [
            ("GRID", (0, 0), (-1, -1), 0.4, LINE), ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ("FONT", (0, 0), (-1, -1), self._cell.fontName, self._cell.fontSize, self._cell.leading),
            *(("ALIGN", (n, 0), (n, -1), "RIGHT") for n in range(len(widths)) if all(_is_number(row[n]) for row in rows)),
        ]  # fmt: skip
        if names:
            style.append(("BACKGROUND", (0, 0), (-1, 0), HEAD))
        columns = [WIDTH * part for part in widths]
        self.parts += [
            Table(head + body, columns, repeatRows=len(head), hAlign="LEFT", style=style),
            Spacer(0, 6),
        ]
        return len(body)

    def _text(self, value: Any, style: ParagraphStyle) -> Paragraph | str:
        text = "" if value is None else " ".join(_cut(_clean(value), LONGEST_CELL).split())
        self._left -= max(len(text), LEAST_OF_CELL)
        # A paragraph costs ten times as much as a text on one line.
        is_short = len(text) <= SHORT and style is self._cell
        return text if is_short else Paragraph(escape(text), style)

    def _picture(self, picture: dict[str, Any]) -> None:
        try:
            with Picture.open(io.BytesIO(picture["content"]), formats=("PNG", "JPEG", "GIF", "WEBP")) as found:
                if found.width * found.height > MOST_PIXELS:
                    raise ValueError(f"it has {found.width} × {found.height} pixels")
                shown = Picture.new("RGB", found.size, "white")
                colored = found.convert("RGBA")
                shown.paste(colored, mask=colored)
        except (OSError, ValueError, SyntaxError, Picture.DecompressionBombError) as error:
            self._say(f"{picture['name']} can't be shown here: {error}", self._note, longest=LONGEST_CELL)
            return
        shown.thumbnail((MOST_SIDE, MOST_SIDE))
        content = io.BytesIO()
        shown.save(content, "PNG")
        scale = min(WIDTH / shown.width, 110 * mm / shown.height, 0.6)
        drawn = Image(content, shown.width * scale, shown.height * scale, hAlign="LEFT")
        caption = Paragraph(escape(_cut(_clean(picture["name"]), LONGEST_CELL)), self._note)
        self.parts.append(KeepTogether([drawn, caption]))


def _cut(text: str, longest: int) -> str:
    return (
        text
        if len(text) <= longest
        else f"{text[:longest]} … ({len(text) - longest:,} more characters are in the RO-Crate)"
    )


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
