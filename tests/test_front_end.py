"""The JavaScript libraries of the pages: pinned, fetched by npm, and copied with their licenses."""

import gzip
import json
import sys

import pytest

from tests.serving import ROOT

pytestmark = pytest.mark.one_database


@pytest.fixture
def front_end(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "requirements"))
    import front_end

    yield front_end
    del sys.modules["front_end"], sys.modules["install"]


def test_every_library_is_pinned_by_its_hash_and_names_no_registry():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    for name, one in packages.items():
        assert one["integrity"].startswith("sha512-"), name
        assert "resolved" not in one, f"{name}: a lock file with addresses works only where they are reached"
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert wanted == {name: packages[f"node_modules/{name}"]["version"] for name in wanted}


def test_pages_load_what_was_set_up(front_end):
    vendor = ROOT / "server" / "dashboard" / "static" / "vendor"
    assert front_end.is_current(vendor), "make setup puts them there"
    for package in front_end.FILES:
        assert (vendor / package / "LICENSE").read_text()
    script = vendor / "uplot" / "uPlot.iife.min.js"
    assert gzip.decompress(script.with_name(f"{script.name}.gz").read_bytes()) == script.read_bytes()


def test_another_lock_file_or_a_lost_file_is_fetched_anew(front_end, tmp_path):
    modules = tmp_path / "modules"
    for package, files in front_end.FILES.items():
        for name in (package, *front_end.BUNDLED.get(package, ())):
            (modules / name).mkdir(parents=True)
            (modules / name / "LICENSE.md").write_text(name)
        for file in files:
            (modules / package / file).parent.mkdir(exist_ok=True)
            (modules / package / file).write_text("var a;")
    front_end.copy(modules, tmp_path / "made")
    assert front_end.is_current(tmp_path / "made")
    assert (tmp_path / "made" / "3dmol" / "LICENSE.pako").read_text() == "pako"
    (tmp_path / "made" / "uplot" / "uPlot.min.css").unlink()
    assert not front_end.is_current(tmp_path / "made")
    front_end.copy(modules, tmp_path / "again")
    (tmp_path / "again" / "package-lock.json").write_text("{}")
    assert not front_end.is_current(tmp_path / "again")


def test_npm_trusts_and_passes_through_what_pip_is_told(front_end, monkeypatch):
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    told = {"cert": "/site/authorities.pem", "proxy": "http://proxy.example:3128"}
    monkeypatch.setattr(front_end.install, "settings", lambda: told)
    found = front_end.environment()
    assert found["NODE_EXTRA_CA_CERTS"] == "/site/authorities.pem"
    assert found["npm_config_https_proxy"] == "http://proxy.example:3128"
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/own.pem")
    assert front_end.environment()["NODE_EXTRA_CA_CERTS"] == "/own.pem", "what node itself is told counts for more"
