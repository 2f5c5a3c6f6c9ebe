"""Sign-in by OpenID Connect: an issuer authenticates people, and their groups there determine their role here.

mozilla-django-oidc implements the protocol (authorization code, PKCE, state, nonce). This module adds checks: the ID token
must be signed with RS256 by a key that the issuer publishes, and be issued by that issuer, for this server, and not expired.
Users are never matched by name or e-mail address, which others can choose.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationRequestView

from server.accounts import oidc_users
from server.core.errors import Forbidden, Unavailable
from server.setting_formats import is_loopback

logger = logging.getLogger(__name__)

ALGORITHM = "RS256"
TIMEOUT = (3.05, 10)
"""Timeouts to connect to the issuer and to read from it, s."""

KEPT = 3600
"""Seconds for which the issuer's endpoints are cached."""

PAUSE = 5
"""Seconds for which a failed issuer is not contacted again, so that not every thread waits for it."""

LEEWAY = 60
"""Largest difference between the issuer's clock and this server's, s."""

LONGEST_SUBJECT = 255


class NotVouchedFor(Forbidden):
    """The issuer didn't authenticate the person, or its response is not valid."""

    code = "not_vouched_for"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Endpoints of an issuer, from its discovery document."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    takes_secret_in_body: bool


_known: dict[str, tuple[float, Endpoints | None]] = {}
_asking = threading.Lock()


def is_configured() -> bool:
    """Whether OpenID Connect is configured."""
    return bool(settings.TAILRACE.oidc_issuer)


def endpoints() -> Endpoints:
    """Return the issuer's endpoints, read when first needed and cached.

    Raises
    ------
    Unavailable
        If the issuer can't be reached, or doesn't match the settings.
    """
    issuer = settings.TAILRACE.oidc_issuer
    with _asking:  # one thread asks, the others wait for the result
        asked, found = _known.get(issuer, (-math.inf, None))
        if time.monotonic() - asked > (PAUSE if found is None else KEPT):
            found = _discovered(issuer)
            _known[issuer] = time.monotonic(), found
    if found is None:
        raise _down()
    return found


def forget() -> None:
    """Empty the cache of endpoints."""
    _known.clear()


def _discovered(issuer: str) -> Endpoints | None:
    """Read the issuer's endpoints; None, with a line in the log, if that fails."""
    address = issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        response = requests.get(address, timeout=TIMEOUT)
        response.raise_for_status()
        document = response.json()
        if document["issuer"] != issuer:
            raise ValueError(f"its issuer name is {document['issuer']!r}: set TAILRACE_OIDC_ISSUER to that")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Endpoints(
            authorization=_safe(document["authorization_endpoint"], issuer),
            token=_safe(document["token_endpoint"], issuer),
            keys=_safe(document["jwks_uri"], issuer),
            userinfo=_safe(document["userinfo_endpoint"], issuer) if document.get("userinfo_endpoint") else None,
            takes_secret_in_body="client_secret_post" in methods,
        )
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as exc:
        logger.error("the OpenID Connect issuer %s can't be used: %s: %s", issuer, type(exc).__name__, exc)
        return None


def _safe(address: str, issuer: str) -> str:
    """Return an endpoint's URL if secrets may be sent there: by https, or by http on loopback if the issuer is there too.

    Raises
    ------
    ValueError
        If they may not.
    """
    parts = urlsplit(address)
    is_local = parts.scheme == "http" and issuer.startswith("http:") and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not is_local:
        raise ValueError(f"its endpoint {address!r} is not https://")
    return address


def _down() -> Unavailable:
    name = settings.TAILRACE.oidc_name
    return Unavailable(f"{name} doesn't respond correctly: try again later, or sign in with a password", retry_after=30)


def setting(name: str, *default: Any) -> Any:
    """Return a setting of mozilla-django-oidc, from the settings of this server and the issuer's endpoints."""
    config = settings.TAILRACE
    own: dict[str, Any] = {
        "OIDC_RP_CLIENT_ID": config.oidc_client_id,
        "OIDC_RP_SCOPES": config.oidc_scopes,
        "OIDC_RP_SIGN_ALGO": ALGORITHM,
        "OIDC_USE_NONCE": True,
        "OIDC_USE_PKCE": True,
        "OIDC_TIMEOUT": TIMEOUT,
    }
    if name in own:
        return own[name]
    if name == "OIDC_RP_CLIENT_SECRET":
        return config.oidc_client_secret
    if name == "OIDC_TOKEN_USE_BASIC_AUTH":
        return config.oidc_client_secret is not None and not endpoints().takes_secret_in_body
    if name == "OIDC_OP_AUTHORIZATION_ENDPOINT":
        return endpoints().authorization
    return getattr(settings, name, *default)


class Begin(OIDCAuthenticationRequestView):
    """GET: redirect the browser to the issuer, with state, nonce and PKCE challenge, which are stored in its session."""

    get_settings = staticmethod(setting)


class Backend(OIDCAuthenticationBackend):
    """Authenticates the browser that returns from the issuer."""

    get_settings = staticmethod(setting)

    def __init__(self) -> None:
        # Django creates a backend for each sign-in, also by password, so the issuer is contacted later.
        self.UserModel = User

    def authenticate(self, request: HttpRequest, *, nonce: str, code_verifier: str) -> User | None:  # type: ignore[override]
        """Exchange the code in the request for an ID token, check it, and find or make its user.

        Raises
        ------
        NotVouchedFor
            If the issuer refuses the code, or its token is invalid.
        Forbidden
            If the user is blocked, or none of their groups has a role.
        Unavailable
            If the issuer can't be reached.
        """
        found = endpoints()
        self.OIDC_OP_TOKEN_ENDPOINT = found.token
        self.OIDC_OP_JWKS_ENDPOINT = found.keys
        self.OIDC_OP_USER_ENDPOINT = found.userinfo
        self.OIDC_RP_CLIENT_ID = setting("OIDC_RP_CLIENT_ID")
        self.OIDC_RP_CLIENT_SECRET = setting("OIDC_RP_CLIENT_SECRET")
        self.OIDC_RP_SIGN_ALGO = ALGORITHM
        self.OIDC_RP_IDP_SIGN_KEY = None
        try:
            return super().authenticate(request, nonce=nonce, code_verifier=code_verifier)
        except requests.HTTPError as exc:
            status = exc.response.status_code if exc.response is not None else 500
            if status >= 500:
                raise _unreachable(exc) from exc
            raise _refused(exc) from exc
        except requests.RequestException as exc:
            raise _unreachable(exc) from exc
        except (SuspiciousOperation, jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise _refused(exc) from exc

    def retrieve_matching_jwk(self, token: str) -> Any:
        """Return the published key that an ID token names, or the only published key if it names none."""
        kid = jwt.get_unverified_header(token).get("kid")
        response = requests.get(self.OIDC_OP_JWKS_ENDPOINT, timeout=TIMEOUT)
        response.raise_for_status()
        keys = [
            key
            for key in response.json()["keys"]
            if key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and key.get("alg", ALGORITHM) == ALGORITHM
        ]
        matching = keys if kid is None else [key for key in keys if key.get("kid") == kid]
        if len(matching) != 1:
            raise SuspiciousOperation(f"{len(matching)} of {len(keys)} published keys match the token: expected 1")
        return jwt.PyJWK(matching[0], algorithm=ALGORITHM)

    def _verify_jws(self, payload: str, key: Any) -> dict[str, Any]:
        client = settings.TAILRACE.oidc_client_id
        claims = jwt.decode(
            payload,
            key,
            algorithms=[ALGORITHM],
            audience=client,
            issuer=settings.TAILRACE.oidc_issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
        if claims.get("azp", client) != client:
            raise SuspiciousOperation(f"the token was issued to another client: {claims['azp']!r}")
        return claims

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> User:
        """Return the user of the claims. Claims of the signed ID token take precedence over those of the userinfo."""
        told = self.get_userinfo(access_token, id_token, payload) if self.OIDC_OP_USER_ENDPOINT else payload
        if told.get("sub") != payload["sub"]:
            raise SuspiciousOperation("the subjects of the userinfo and the ID token differ")
        if not payload["sub"].isprintable() or not 0 < len(payload["sub"]) <= LONGEST_SUBJECT:
            raise SuspiciousOperation(f"the subject is not 1 to {LONGEST_SUBJECT} printable characters")
        return oidc_users.admit(self.request, {**told, **payload})

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session if they are active."""
        return User.objects.filter(pk=user_id, is_active=True).first()


def _refused(exc: Exception) -> NotVouchedFor:
    logger.warning("a sign-in by OpenID Connect failed: %s: %s", type(exc).__name__, str(exc)[:300])
    name = settings.TAILRACE.oidc_name
    return NotVouchedFor(f"the response of {name} could not be verified: start the sign-in again")


def _unreachable(exc: Exception) -> Unavailable:
    logger.error("the OpenID Connect issuer failed during a sign-in: %s", type(exc).__name__)
    return _down()
