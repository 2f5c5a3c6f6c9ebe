"""`tailrace open`, and the links to pages in what notebooks show."""

import html.parser

import pytest
from tailrace import Client
from tailrace.errors import Unusable

from tests.client.running import NOBODY, command

pytestmark = pytest.mark.one_database
SITE = "https://tailrace.example.org/ml"


@pytest.fixture
def browser(tmp_path):
    """A browser that notes which address it is to open."""
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n')
    program.chmod(0o755)
    return tmp_path / "opened", {"BROWSER": f"{program} %s", "TAILRACE_URL": SITE}


@pytest.mark.parametrize(
    "arguments, path",
    [((), "/"), (("model", "runtime"), "/models/runtime/"), (("stream", "a/b ü?"), "/streams/a%2Fb%20%C3%BC%3F/")],
)
def test_it_prints_the_address_and_opens_it(browser, arguments, path):
    opened, environ = browser
    done = command("open", *arguments, environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SITE}{path}\n", "")
    assert opened.read_text() == f"{SITE}{path}"


def test_it_only_prints_where_it_is_told_to(browser):
    opened, environ = browser
    done = command("open", "model", "runtime", "--print", environ=environ)
    assert (done.returncode, done.stdout) == (0, f"{SITE}/models/runtime/\n")
    assert not opened.exists()


def test_without_a_browser_it_says_what_to_do(tmp_path):
    done = command("open", environ={"PATH": str(tmp_path), "TAILRACE_URL": NOBODY, "DISPLAY": "", "BROWSER": ""})
    assert (done.returncode, done.stdout) == (0, f"{NOBODY}/\n")
    assert done.stderr == "tailrace: no browser could be opened here: open the address above\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("model",), "the name of the model is missing: expected tailrace open model NAME"),
        (("moodel", "x"), "invalid choice"),
        (("--url", "ftp://x", "model", "a"), "ftp://x"),
    ],
)
def test_what_is_wrong_is_said(arguments, said):
    done = command("open", *arguments, "--print")
    assert done.returncode == 2 and said in done.stderr
    assert done.stdout == ""


class Links(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found.append(dict(attributes)["href"])


def test_what_a_notebook_shows_links_to_the_page(live_server_url):
    client = Client(live_server_url)
    client.create_stream("runs", target="t")
    client.create("linear", stream="runs", recipe="linear")
    for handle, path in ((client.model("linear"), "models/linear"), (client.stream("runs"), "streams/runs")):
        assert handle.page_url == f"{live_server_url}/{path}/"
        assert Links(handle._repr_html_()).found == [handle.page_url]
    assert Links(client.model("gone")._repr_html_()).found == [], "what is not there has no page"


def test_names_are_quoted_and_must_be_text():
    assert Client(SITE).model('"><b>').page_url == f"{SITE}/models/%22%3E%3Cb%3E/"
    with pytest.raises(Unusable):
        _ = Client(SITE).model(7).page_url
