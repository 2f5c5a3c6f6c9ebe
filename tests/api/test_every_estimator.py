"""Every estimator of river by the published client, from its upload to the proof of its log."""

import pytest

from tests.api import survey
from tests.serving import ROOT


@pytest.mark.one_database
@pytest.mark.timeout(900)
def test_the_page_of_flavors_is_what_comes_of_each_estimator(tmp_path):
    found = survey.page(survey.survey(tmp_path))
    assert (ROOT / "docs" / "reference" / "flavors.md").read_text() == found, (
        "run: python -m tests.api.flavors_page > docs/reference/flavors.md"
    )
