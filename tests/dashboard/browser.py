"""A browser without JavaScript: it follows links, fills in the forms that are on a page, and keeps cookies."""

from typing import Any
from urllib.parse import urljoin

from bs4 import BeautifulSoup, Tag
from django.http import HttpResponse
from django.test import Client

from tests.people import PASSWORD

__all__ = ["PASSWORD", "Browser", "Page"]


class Page:
    """An answer, read as a browser reads it."""

    def __init__(self, response: HttpResponse, path: str) -> None:
        self.response, self.path = response, path
        self.status = response.status_code
        is_html = response.headers.get("Content-Type", "").startswith("text/html")
        self.html = BeautifulSoup(
            response.content.decode() if is_html and not response.streaming else "", "html.parser"
        )

    @property
    def text(self) -> str:
        """What a person reads on it, in one line."""
        main = self.html.find("main")
        return " ".join(main.get_text(" ").split()) if isinstance(main, Tag) else ""

    @property
    def boxes(self) -> list[str]:
        """What stands in the boxes that are there to be copied."""
        return [box.get_text() for box in self.html.select("pre.copy")]

    def links(self) -> list[str]:
        return [str(link["href"]) for link in self.html.select("a[href]")]

    def form(self, action: str) -> Tag:
        found = self.html.select(f'form[action="{action}"]')
        assert len(found) == 1, f"{len(found)} forms to {action} on {self.path}: {self.text[:500]}"
        return found[0]

    def error_at(self, field: str) -> str:
        """What is wrong with a field, as it is said to those who don't see the page, too."""
        widget = self.html.find(id=field)
        assert isinstance(widget, Tag), field
        assert widget["aria-invalid"] == "true"
        described = [self.html.find(id=name) for name in str(widget["aria-describedby"]).split()]
        return " ".join(part.get_text() for part in described if part is not None and "wrong" in part["class"])


class Browser:
    """One browser, at one address."""

    def __init__(self, address: str = "192.0.2.7", **extra: str) -> None:
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False, REMOTE_ADDR=address, **extra)

    def get(self, path: str) -> Page:
        """A page, without following a redirect."""
        return Page(self.client.get(path), path)

    def follow(self, page: Page) -> Page:
        """Where a redirect leads."""
        assert page.status in (302, 303), (page.status, page.text)
        return self.get(urljoin(page.path, page.response.headers["Location"]))

    def send(self, page: Page, action: str, /, **fields: Any) -> Page:
        """Send the form on a page that has that action, with some fields filled in: True and False for check boxes."""
        form = page.form(action)
        assert form["method"] == "post"
        data = filled_in(form)
        for name, value in fields.items():
            assert form.find(attrs={"name": name}) is not None, f"no field {name} in the form to {action}"
            data[name] = value
        return Page(self.client.post(action, data), action)

    def press(self, page: Page, words: str, /, **fields: Any) -> Page:
        """Press the one button with these words, in the form that it belongs to, with some fields filled in."""
        [button] = [found for found in page.html.select("form button") if found.get_text() == words]
        form = button.find_parent("form")
        assert isinstance(form, Tag)
        data = {
            **filled_in(form),
            **({str(button["name"]): button["value"]} if button.has_attr("name") else {}),
            **fields,
        }
        return Page(self.client.post(str(form["action"]), data), str(form["action"]))

    def sign_in(self, username: str, password: str = PASSWORD, path: str = "/login/") -> Page:
        """Send the form to sign in."""
        return self.send(self.get(path), "/login/", username=username, password=password)


def filled_in(form: Tag) -> dict[str, Any]:
    """What a browser sends of a form that nobody touched."""
    data: dict[str, Any] = {}
    for field in form.select("input[name], textarea[name], select[name]"):
        name = str(field["name"])
        if field.name == "textarea":
            data[name] = field.get_text()
        elif field.name == "select":
            chosen = field.find("option", selected=True) or field.find("option")
            assert isinstance(chosen, Tag)
            data[name] = chosen.get("value", chosen.get_text())
        elif field.get("type") in ("checkbox", "radio"):
            if field.has_attr("checked"):
                data.setdefault(name, []).append(field.get("value", "on"))
        else:
            data[name] = field.get("value", "")
    return data
