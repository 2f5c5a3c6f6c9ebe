"""Reports as PDF: text, tables and pictures as a reader of PDF files finds them, and results that are hard to print."""

import io
import re

import pypdf
import pytest
from PIL import Image

from server.calculations import report_pdf
from tests.calculations.agents import declared
from tests.calculations.conftest import API

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
SIGNS = "µ μ Å ² ³ ° ± Δ α β γ σ Ω ħ ⁻¹ → ∞ √ ≤ é ß"


def picture(width: int = 40, height: int = 20, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new("RGBA", (width, height), (200, 30, 30, 128)).convert("RGB").save(written, form)
    return written.getvalue()


@pytest.fixture
def report(agent, submit, ada):
    """Submit a calculation, settle its only step with these fields and files, and return its report as read."""

    def make(named=None, pictures=None, **fields):
        made = submit(again=True, **(named or {}))
        (work,) = agent.claim(1)
        agent.permit(work)
        pictures = pictures or {}
        files = [declared(name, content) for name, content in pictures.items()]
        agent.results(work, files=files, **fields)
        for name, content in pictures.items():
            sent = agent.put(f"steps/{work['step']}/files/{name}?fence={work['fence']}", content)
            assert sent.status_code == 200, sent.content
        answer = ada.get(f"{API}{made['id']}/report/?format=pdf")
        assert answer.status_code == 200, answer.getvalue()
        assert answer.headers["Content-Type"] == "application/pdf"
        assert f"calculation-{made['id']}.pdf" in answer.headers["Content-Disposition"]
        return pypdf.PdfReader(io.BytesIO(answer.getvalue()), strict=True)

    return make


def text(read: pypdf.PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in read.pages).split())


def test_values_tables_pictures_and_provenance_are_in_it_with_all_signs(report):
    tables = {"forces": {"columns": {"atom": "", "F": "eV/Å"}, "rows": [[1, 0.5], [2, None]]}}
    fit = {"slope": {"value": -2.25, "unit": "µm²"}}
    analyses = [{"name": "thermo", "state": "done", "values": fit, "report": "Linear up to ΔT = 10 K."}]
    read = report(
        {"name": "<b>H₂O</b> & α-quartz", "description": SIGNS, "parameters": {"voltage": 0.25},
         "structure_content": "1\n\nH 0 0 0\n"},
        {"curve.png": picture(), "photo.jpg": picture(30, 60, "JPEG")},
        tables=tables, analyses=analyses, report="Line one.\nσ is small.", job="4711", host="node7",
    )  # fmt: skip
    found = text(read)
    for one in (
        "<b>H₂O</b> & α-quartz", SIGNS, "energy -1.5 eV", "forces", "F (eV/Å)", "1 0.5 2", "Analysis thermo: done",
        "slope -2.25 µm²", "Linear up to ΔT = 10 K.", "σ is small.", "voltage 0.25", "job 4711", "code 1.0 on alpha (node7)",
        "submitted", "ada", "1 of 1 with a valid result", "curve.png", "page 1",
    ):  # fmt: skip
        assert one.lower() in found.lower(), one
    assert [image.image.size for page in read.pages for image in page.images] == [(40, 20), (30, 60)]
    assert read.metadata.title.startswith("<b>H₂O</b> & α-quartz")
    assert read.metadata.author == "ada"
    fonts = {str(font["/BaseFont"]) for page in read.pages for font in page["/Resources"]["/Font"].values()
             for font in [font.get_object()]}  # fmt: skip
    assert any("DejaVuSans" in font for font in fonts)


def test_what_is_too_long_is_cut_and_said_to_be(report, monkeypatch):
    monkeypatch.setattr(report_pdf, "MOST_CHARACTERS", 60_000)  # a fifth of the time
    rows = [[n, "x" * 3_000, *range(10)] for n in range(500)]
    columns = {"n": "", "text": "", **{f"c{n}": "" for n in range(10)}}
    values = {f"value {n}": {"value": "long " * 500} for n in range(30)}
    read = report({"name": "n" * 200}, tables={"large": {"columns": columns, "rows": rows}}, values=values,
                  report="word" * 20_000)  # fmt: skip
    found = text(read)
    assert re.search(r"4\d\d more rows and 4 more columns are in the RO-Crate", found)
    assert "more characters are in the RO-Crate" in found
    assert len(read.pages) < 60


def test_pictures_that_can_not_be_shown_are_named(report):
    wrong = {"cut.png": picture()[:60], "none.png": b"\x89PNG\r\n\x1a\n", "page.png": b"<svg onload='alert(1)'/>",
             "huge.png": picture(6_000, 3_500)}  # fmt: skip
    read = report(pictures=wrong)
    assert all(f"{name} can't be shown here" in text(read) for name in wrong)
    assert not [image for page in read.pages for image in page.images]


def test_nothing_in_a_text_is_markup_or_reads_a_file(report):
    hostile = '<img src="/etc/hostname"/><para><font size="900">&#0;</font> {% x %} \x1b[31m\u202e\ue000\U0001f9ea'
    read = report({"name": "a", "description": hostile}, values={hostile: {"value": hostile, "unit": hostile}},
                  report=hostile)  # fmt: skip
    found = text(read)
    assert '<img src="/etc/hostname"/>' in found
    assert "\x1b" not in found
    assert not [image for page in read.pages for image in page.images]


def test_a_report_without_results_says_so(agent, submit, ada):
    made = submit()
    answer = ada.get(f"{API}{made['id']}/report/?format=pdf")
    assert "no valid result" in text(pypdf.PdfReader(io.BytesIO(answer.getvalue())))
