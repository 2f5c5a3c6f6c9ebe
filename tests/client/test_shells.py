"""In IPython and Jupyter: completion of names, results that show themselves, pictures."""

import inspect
import subprocess
import sys

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from tailrace.display.tables import Column, Table, format_value
from tailrace.handles.client import Client
from tailrace.results.predictions import Prediction

from tests.client.conftest import STREAM
from tests.client.listeners import answer, listening, replies, silent
from tests.client.running import NOBODY, environment

pytestmark = pytest.mark.one_database

JOB = {"x": 8, "y": 16, "z": 8}
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, "")


@pytest.fixture(params=[True, False], ids=["jedi", "no jedi"])
def complete(client, request, tmp_path, monkeypatch):
    """What IPython offers behind a text, with and without its guessing library."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell()
    shell.user_ns.update(c=client, m=client.model("runtime"))
    shell.Completer.use_jedi = request.param

    def offer(text: str) -> set[str]:
        with provisionalcompleter():
            return {one.text.lstrip(".") for one in shell.Completer.completions(text, len(text))}

    return offer


def test_a_shell_completes_the_names_of_models_and_streams(complete):
    assert complete('c.models["ru') == {"runtime"}
    assert complete('c.streams["lam') == {STREAM}
    assert complete('c.recipes["hoef') == {"hoeffding-tree", "hoeffding-tree-classifier"}
    assert "linear" in complete("c.models.li")


@pytest.fixture(params=[True, False], ids=["jedi", "no jedi"])
def session(request, tmp_path, monkeypatch):
    """A running IPython, in which no client is made yet."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.Completer.use_jedi = request.param
    yield shell
    InteractiveShell.clear_instance()


def offered(shell, text):
    """By both ways in which IPython is asked: that of its terminal and kernels, and the old one."""
    with provisionalcompleter():
        found = [one.text for one in shell.Completer.completions(text, len(text))]
    assert found == shell.complete("", line=text, cursor_pos=len(text))[1]
    return found


def test_a_shell_completes_names_inside_calls(session, served, capsys):
    made = (
        f"from tailrace import AsyncClient, Client; c = Client({served.url!r}, ''); a = AsyncClient({served.url!r}, '')"
    )
    assert session.run_cell(f"{made}; d = {{}}\nclass Job: pass\njob = Job(); job.c = c").success
    assert {*offered(session, "c.model('")} == {"runtime", "linear", "mean"}
    assert offered(session, 'found = c.model("ru') == ["runtime"]
    assert offered(session, "print(c.model( name='li") == ["linear"]
    assert offered(session, "job.c.model('ru") == offered(session, "a.model('ru") == ["runtime"]
    for method in ("stream", "post", "post_frame"):
        assert offered(session, f"c.{method}('lammps-") == [STREAM]
    for text in (
        "c.model('runtime', '",
        "d.model('ru",
        "c.model('runtime').model('ru",
        "c.modl('ru",
        "none.c.model('ru",
    ):
        assert "runtime" not in offered(session, text)
    assert capsys.readouterr() == ("", "")


def test_a_server_that_says_nothing_or_nonsense_offers_nothing(session, capsys):
    with listening(silent) as mute, listening(replies(answer("200 OK", b"[1]"))) as mad:
        for url in (NOBODY, mute.url, mad.url):
            assert session.run_cell(f"from tailrace import Client; c = Client({url!r}, '', deadline=100_000)").success
            for text in ("c.model('", 'c.stream("', 'c.models["'):
                assert {*offered(session, text)} & {"runtime", STREAM} == set()
            assert dir(session.user_ns["c"].models)
    assert capsys.readouterr() == ("", "")


def test_a_client_is_made_without_a_shell_and_imports_none():
    program = "import sys, tailrace; tailrace.Client(); assert 'IPython' not in sys.modules; import IPython; tailrace.Client()"
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=60, check=True)


def test_a_shell_completes_the_features_of_a_model(complete):
    assert {"x=", "y=", "z=", "level="} <= complete("m.predict(")


def test_the_signature_names_the_features_and_survives_a_server_that_is_gone(client):
    assert list(inspect.signature(client.model("runtime").predict).parameters)[:4] == ["points", "x", "y", "z"]
    gone = Client("http://127.0.0.1:9", "", deadline=0.2).model("runtime")
    assert list(inspect.signature(gone.predict).parameters) == ["points", "level", "identifier", "track", "strict"]
    assert list(inspect.signature(type(gone.predict)).parameters) == ["model"]


def test_what_is_looked_at_shows_itself_as_text_and_as_html_with_units(client):
    model = client.model("runtime")
    looked_at = [
        (client.models, ["recipe", "regression", "ready"]),
        (client.streams, ["loop_time", STREAM]),
        (client.recipes, ["Run time of parallel jobs"]),
        (client.stream(STREAM), ["loop_time (s)", "melts", "120"]),
        (client.stream(STREAM).tail(3), ["y (s)", "runtime (s)", "118"]),
        (model, [STREAM, "RMSE", "degree 3"]),
        (model.metrics(), ["RMSE", "s", "latest 100", "119 scored"]),
        (model.history(), ["rolling MAE (s)", "n"]),
        (model.predict([JOB, JOB]), ["prediction (s)", "low (s)", "95 % interval"]),
        (model.stats(), ["predict", "calls"]),
        (client.recipes["runtime"], ["degree", "Highest degree"]),
    ]
    for thing, words in looked_at:
        text, html = repr(thing), thing._repr_html_()
        for word in words:
            assert word in text
            assert word in html
        assert "<table" in html


def test_one_prediction_is_a_line_and_a_panel(client):
    found = client.model("runtime").predict(JOB)
    assert repr(found).startswith(
        f"{format_value(found.value)} s ({format_value(found.low)} to {format_value(found.high)} s at 95 %)"
    )
    assert "x = 8, y = 16, z = 8" in found._repr_html_()


def test_pictures_show_themselves_and_are_saved(client, tmp_path):
    model = client.model("runtime")
    for picture in (model.plot(), model.scatter(), client.stream(STREAM).plot(), model.history().plot()):
        assert picture._repr_png_().startswith(PNG)
    assert model.plot(tmp_path / "drift.png").save(tmp_path / "again.png").read_bytes().startswith(PNG)
    assert (tmp_path / "drift.png").read_bytes().startswith(PNG)
    model.scatter(tmp_path / "first.svg")
    assert b"<svg" in (tmp_path / "first.svg").read_bytes()
    (tmp_path / "first.svg").unlink()
    assert b"<svg" in model.scatter(path=tmp_path / "s.svg").save(tmp_path / "s.svg").read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["again.png", "drift.png", "s.svg"]


def test_the_scatter_draws_what_the_log_says(client):
    log = list(client.stream(STREAM).observations())
    (axes,) = client.model("runtime").scatter().figure.axes
    points = [tuple(point) for collection in axes.collections for point in collection.get_offsets()]
    expected = [(one["y"], one["predictions"]["runtime"]) for one in log[1:]]
    inside = [pair for pair in expected if pair in points]
    assert len(points) == len(expected)
    assert len(inside) > 110


def test_html_stays_text_whatever_a_name_holds():
    hostile = '<script>alert("x")</script>'
    html = Table([Column(hostile)], [[hostile]], hostile).html()
    html += Prediction(hostile, hostile, 1, {hostile: hostile}, unit=hostile, identifier=hostile)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_control_character_does_not_reach_the_terminal():
    assert "\033" not in Table([Column("a")], [["\033[2Jgone\n"]]).text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(83.24159, "83.24"), (12, "12"), (0.00012345, "0.0001234"), (123456.7, "123457"), (0.0, "0"), (None, "–"),
     (float("nan"), "–"), (1e12, "1e+12"), (True, "true"), ({"a": 0.25}, "a 0.25"), ([1, 2.5], "1, 2.5")],
)  # fmt: skip
def test_values_are_shown_shortly(value, text):
    assert format_value(value) == text


def test_a_long_table_shows_its_ends():
    table = Table([Column("n")], [[n] for n in range(1000)])
    lines = table.text(most=10).splitlines()
    assert [line.strip() for line in lines] == ["n", "0", "1", "2", "3", "4", "…", "995", "996", "997", "998", "999"]
    assert len(table.text(most=None).splitlines()) == 1001
