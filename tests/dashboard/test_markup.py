"""Every page, as those meet it who don't see it, see it badly, or run no scripts."""

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from bs4 import Tag
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders

from server.accounts import signins, tokens
from tests.dashboard.browser import Browser, Page
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

HOME = "/"
ALSO = ("/login/", "/nothing/", "/audit/?from=nonsense", "/users/?q=nobody-of-that-name")


def pages(signed_in: Callable[..., Browser]) -> Iterator[Page]:
    """Every page that a link leads an admin to, a few that none does, and what forms with mistakes come to."""
    browser = signed_in("ada", "admin")
    ada = User.objects.get()
    tokens.create(ada, "job", scopes=["learn"], streams=["s"])
    tokens.revoke(tokens.create(ada, "gone")[0])
    signins.begin(person("rita", "researcher"))
    yield Browser().get("/login/")
    seen: set[str] = set()
    ahead = [HOME, *ALSO]
    while ahead:
        path = ahead.pop()
        if path in seen or path.startswith(("/api/", "/audit/export/", "#")):
            continue
        seen.add(path)
        page = browser.get(path)
        assert page.status == (404 if path == "/nothing/" else 400 if "nonsense" in path else 200), path
        if page.html.find("main"):
            yield page
            ahead += [link if link.startswith(("/", "#")) else path.partition("?")[0] + link for link in page.links()]
    assert {"/account/", "/account/tokens/", "/users/", "/users/rita/", "/new-user/", "/audit/"} <= seen
    yield browser.send(browser.get("/account/tokens/"), "/account/tokens/", name="", streams="a/b")
    yield browser.send(browser.get("/account/tokens/"), "/account/tokens/", name="shown")
    yield browser.send(browser.get("/account/"), "/account/password/", new_password="x")
    yield browser.send(browser.get("/users/rita/"), "/users/rita/password/")
    yield browser.send(browser.get("/users/rita/"), "/users/rita/role/", role="none")


def test_every_page_can_be_used_without_seeing_it_and_without_scripts(signed_in):
    for page in pages(signed_in):
        html, where = page.html, f"{page.path}: {page.text[:80]}"
        assert html.find("html")["lang"] == "en", where
        assert len(html.select("h1")) == 1, where
        assert html.find("title").get_text().endswith(" · Tailrace"), where
        assert html.select_one('meta[name="viewport"]'), where
        assert html.select_one("a.skip")["href"] == f"#{html.find('main')['id']}", where
        ids = [tag["id"] for tag in html.select("[id]")]
        assert len(ids) == len(set(ids)), (where, ids)
        assert not html.select("script:not([src]), style, iframe, object, [style]"), where
        assert not [script for script in html.select("script") if script.get_text(strip=True)], where
        assert not [name for tag in html.find_all(True) for name in tag.attrs if name.startswith("on")], where
        assert all(image.has_attr("alt") for image in html.select("img")), where
        for link in html.select("[href], [src], [action]"):
            target = link.get("href") or link.get("src") or link.get("action")
            assert target.startswith(("/", "#", "?")), (where, target)
            assert not target.startswith("//"), (where, target)
        for field in html.select("input, select, textarea"):
            if field.get("type") != "hidden" and not field.has_attr("hidden"):
                assert is_labelled(field, page), (where, str(field))
            for described in str(field.get("aria-describedby", "")).split():
                assert described in ids, (where, described)
        for form in html.select('form[method="post"]'):
            assert form.select_one("[name=csrfmiddlewaretoken]"), (where, form["action"])
            assert form.select_one("button"), (where, form["action"])
        for row in html.select("tbody tr"):
            cells = row.select("td")
            assert cells[0].has_attr("colspan") or all(cell["data-label"] for cell in cells), where


def is_labelled(field: Tag, page: Page) -> bool:
    labels = [field.find_parent("label"), page.html.find("label", attrs={"for": field.get("id", "-")})]
    return any(isinstance(label, Tag) and label.get_text(strip=True) for label in labels)


SHEET = Path(str(finders.find("dashboard/style.css"))).read_text()
LIGHT, DARK = (
    {
        name: both[index]
        for name, *both in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", SHEET)
    }
    for index in (0, 1)
)
TEXTS = [
    *product(("ink", "quiet", "accent"), ("paper", "raised", "sunken", "note-paper")),
    *product(("bad",), ("paper", "raised", "bad-paper")),
    *product(("ink",), ("good-paper", "bad-paper")),
    ("good", "good-paper"), ("on-accent", "accent"),
]  # fmt: skip
EDGES = [
    *product(("edge", "accent", "bad"), ("paper", "raised")),
    *product((f"series-{n}" for n in range(1, 7)), ("paper", "raised")),
]


def luminance(color: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(colors):
    assert set(colors) == set(LIGHT)
    for text, ground in TEXTS:
        assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for edge, ground in EDGES:
        assert contrast(colors[edge], colors[ground]) >= 3, (edge, ground)


def test_what_has_the_focus_is_seen():
    assert re.search(r":focus-visible \{ outline: 3px solid var\(--accent\)", SHEET)
    assert "outline: none" not in SHEET
    assert "outline: 0" not in SHEET
