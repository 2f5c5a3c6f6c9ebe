"""`make setup` installs with uv, from where pip is told to look."""

import runpy
from types import SimpleNamespace

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.one_database
install = runpy.run_path(str(ROOT / "requirements" / "install.py"))


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What uv is told, of what pip's file and its environment say."""

    def tell(file="", **environ):
        (tmp_path / "pip.conf").write_text(f"[global]\n{file}")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return install["environment"](install["settings"]())

    for name in (
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "UV_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_FIND_LINKS",
    ):
        monkeypatch.delenv(name, raising=False)
    return tell


def test_uv_looks_where_pip_is_told_to_look(told, tmp_path):
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    found = told(
        f"index-url = https://mirror.example/simple\nextra-index-url = https://more.example/simple file://{here} file://{away}\n"
        f"find-links = {here} {away}\n"
    )
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert found["UV_INDEX"] == f"https://more.example/simple file://{here}"
    assert found["UV_FIND_LINKS"] == str(here)


def test_the_environment_counts_for_more_than_a_file_and_what_uv_is_told_for_most(told):
    file = "index-url = https://mirror.example/simple\n"
    assert told(file, PIP_INDEX_URL="https://own.example/simple")["UV_DEFAULT_INDEX"] == "https://own.example/simple"
    assert told(file, UV_DEFAULT_INDEX="https://uv.example/simple")["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_what_pip_only_mentions_is_no_setting(told, monkeypatch):
    printed = "WARNING: an old file is passed over\nglobal.index-url='https://mirror.example/simple'\nodd=\n"
    monkeypatch.setattr(install["subprocess"], "run", lambda *args, **options: SimpleNamespace(stdout=printed))
    assert install["settings"]() == {"index-url": "https://mirror.example/simple"}


def test_where_pip_is_told_nothing_uv_is_told_nothing(told):
    assert "UV_DEFAULT_INDEX" not in told()
