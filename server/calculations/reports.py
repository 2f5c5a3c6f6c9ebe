"""Reports of calculations in each format, to download."""

import base64
import io
from typing import BinaryIO

from django.template.loader import render_to_string

from server.calculations import report_crate, states
from server.calculations.models import Calculation
from server.calculations.report_data import shown

FORMATS = ("json", "html", "pdf", "rocrate")


def download(calculation: Calculation, kind: str) -> tuple[BinaryIO, str, str]:
    """Return a report to download.

    Parameters
    ----------
    kind
        ``html``, ``pdf`` or ``rocrate``.

    Returns
    -------
    content, media type, file name
    """
    name = f"calculation-{calculation.pk}"
    if kind == "html":
        return io.BytesIO(html(calculation).encode()), "text/html; charset=utf-8", f"{name}.html"
    if kind == "pdf":
        from server.calculations.report_pdf import pdf  # only where one is asked for: it costs memory

        return io.BytesIO(pdf(shown(calculation))), "application/pdf", f"{name}.pdf"
    return report_crate.crate(calculation, html(calculation).encode()), "application/zip", f"{name}.crate.zip"


def html(calculation: Calculation) -> str:
    """Return the report as one page that needs nothing else: pictures are inside, and there is no script."""
    data = shown(calculation)
    for step in data["results"]:
        for picture in step["pictures"]:
            picture["source"] = f"data:{picture['kind']};base64,{base64.b64encode(picture.pop('content')).decode()}"
    return render_to_string("calculations/report.html", {"report": data, "done": states.DONE})
