"""A real OpenID Connect issuer on loopback, and what a dishonest one, or somebody in between, would do to its answers."""

import base64
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import jwt
import oidc_provider_mock
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import User
from werkzeug.serving import make_server

from server.accounts.models import SignIn
from tests.dashboard.browser import Browser, Page

PUBLISHED, STRANGE = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
"""A key that the issuer publishes beside its own while it is to make other tokens, and one that it never publishes."""

REDIRECT = "http://testserver/login/oidc/callback/"


class Issuer:
    """The issuer. It insists on a registered client and on PKCE.

    Attributes
    ----------
    document
        What its discovery document says otherwise than it would.
    forge
        Makes another ID token of the claims of an honest one; None for honesty.
    userinfo
        What its userinfo says otherwise than it would.
    is_down
        Whether it answers everything with 503.
    asked
        Paths that were asked for.
    """

    def __init__(self) -> None:
        self._app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True)
        self._challenges: dict[str, str] = {}
        self.be_honest()

    def be_honest(self) -> None:
        self.document: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.forge: Callable[[dict[str, Any]], str] | None = None
        self.is_down = False
        self.asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if self.is_down:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"maintenance"]
        if path == "/oauth2/token" and not self._has_right_verifier(environ):
            start_response("400 Bad Request", [("Content-Type", "application/json")])
            return [b'{"error": "invalid_grant", "error_description": "PKCE"}']
        status, headers, body = self._honest(environ)
        if status.startswith("200") and "json" in dict(headers).get("Content-Type", ""):
            body = json.dumps(self._changed(path, json.loads(body))).encode()
        if path == "/oauth2/authorize" and status.startswith("302"):
            code = parse_qs(urlsplit(dict(headers)["Location"]).query).get("code", [""])[0]
            asked = parse_qs(environ["QUERY_STRING"])
            assert asked["code_challenge_method"] == ["S256"]
            self._challenges[code] = asked["code_challenge"][0]
        headers = [(name, value) for name, value in headers if name != "Content-Length"]
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _honest(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        answered: list[Any] = []
        body = b"".join(self._app(environ, lambda status, headers, *_: answered.extend((status, headers))))
        return answered[0], answered[1], body

    def _has_right_verifier(self, environ: dict[str, Any]) -> bool:
        data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(data)
        form = {name: values[0] for name, values in parse_qs(data.decode()).items()}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self._challenges.get(form.get("code", ""))

    def _changed(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {**data, **self.document}
        if path == "/userinfo":
            return {**data, **self.userinfo}
        if path == "/jwks" and self.forge is not None:
            own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PUBLISHED.public_key()))
            return {"keys": [*data["keys"], {**own, "kid": "published", "use": "sig", "alg": "RS256"}]}
        if path == "/oauth2/token" and self.forge is not None:
            claims = jwt.decode(data["id_token"], options={"verify_signature": False})
            return {**data, "id_token": self.forge(claims)}
        return data

    @contextmanager
    def running(self) -> Iterator[None]:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = make_server("localhost", 0, self, threaded=True)
        self.url = f"http://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def register(self, method: str = "client_secret_basic", redirect: str = REDIRECT) -> tuple[str, str]:
        """A new client: its id and secret."""
        body = {"redirect_uris": [redirect], "token_endpoint_auth_method": method}
        made = requests.post(f"{self.url}/oauth2/clients", json=body, timeout=10).json()
        return made["client_id"], made["client_secret"]

    def knows(self, subject: str, **claims: Any) -> None:
        """Somebody who can sign in there, and what it tells of them."""
        requests.put(f"{self.url}/users/{subject}", json=claims, timeout=10).raise_for_status()

    def sign_in(self, browser: Browser, subject: str, to: str = "", **changed: str) -> Page:
        """Sign in there with a browser that the server sent, and bring back its answer.

        Parameters
        ----------
        changed
            What was changed of the address that the server sent the browser to, on the way.
        """
        return browser.get(self.back(browser, subject, to, **changed))

    def back(self, browser: Browser, subject: str, to: str = "", **changed: str) -> str:
        """The address that the issuer sends the browser back to."""
        sent = browser.get(f"/login/oidc/{to}")
        assert sent.status == 302, sent.text
        parts = urlsplit(sent.response.headers["Location"])
        query = urlencode({name: values[0] for name, values in parse_qs(parts.query).items()} | changed)
        address = urlunsplit(parts._replace(query=query))
        answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        location = answer.headers["Location"]
        assert location.startswith(REDIRECT)
        return location.removeprefix("http://testserver")


def signed(
    claims: dict[str, Any], key: Any = PUBLISHED, kid: str | None = "published", algorithm: str = "RS256"
) -> str:
    """An ID token of those claims."""
    return jwt.encode(claims, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})


def nobody_came_in(browser: Browser) -> None:
    """Check that nobody is signed in with a browser, or was made a user."""
    assert browser.get("/account/").status == 302
    assert not SignIn.objects.exists()
    assert not User.objects.exists()
