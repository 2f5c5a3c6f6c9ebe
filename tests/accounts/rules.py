"""What the access matrix says of an address: who may use it, with which token, and how a valid request is made."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROLES = ("", "viewer", "researcher", "moderator", "admin")
NOBODY = "nobody"


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """Who may use one method of one address, and a request that is valid for those.

    Attributes
    ----------
    role
        The lowest role that may; None for anyone who shows who they are.
    others
        The lowest role that may with what somebody else made; the same where it isn't given.
    hidden
        Whether what somebody else made is not there (404), rather than refused (403), for those who may not.
    known
        What it comes to for those who may, where that isn't leave to do it.
    always
        What it comes to for those who may, where such a request lacks what the answer is about.
    scopes
        A token needs one of them; None where every token will do.
    also
        A token needs one of these, too; None where ``scopes`` will do.
    others_scopes
        A token needs one of them with what somebody else made; the same where it isn't given.
    elsewhere, narrow
        What it comes to for a token for other streams, and for one for just this stream.
    is_public
        Whether nobody is asked.
    takes
        What is to be shown: any credential, the token of a cluster's agent, a person's sign-in alone, or a token in the form user:token.
    body, form
        What is sent: bytes, or what JSON can hold; or the fields of a page's form.
    with_cookies
        Whether the cookies of a sign-in are sent.
    """

    role: str | None = None
    others: str | None = None
    hidden: bool = False
    known: str = "ok"
    always: str = "ok"
    scopes: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None
    others_scopes: tuple[str, ...] | None = None
    elsewhere: str = "ok"
    narrow: str = "ok"
    is_public: bool = False
    takes: str = "any"
    body: Any = None
    form: Mapping[str, str] | None = None
    with_cookies: bool = False

    def __call__(self, body: Any = None, **changes: Any) -> "Rule":
        """The same with another body or with other attributes."""
        return dataclasses.replace(self, **({} if body is None else {"body": body}), **changes)


@dataclasses.dataclass(frozen=True)
class Actor:
    """Who calls.

    Attributes
    ----------
    name
        As a failing test shows it.
    role
        Of the user.
    kind
        How they show who they are: ``""`` (not at all), ``token``, ``agent`` (the token of a cluster), ``access token`` (for a token), ``person`` (one for a
        sign-in over the API), or ``session`` (the cookie of a person who signed in on a page).
    scopes, streams
        Of the token. ``streams`` is ``this`` or ``others`` for one that is limited so.
    """

    name: str
    role: str
    kind: str = "token"
    scopes: tuple[str, ...] = ("learn", "predict", "read", "manage")
    streams: str | None = None

    def has(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def may(self, scopes: tuple[str, ...] | None) -> bool:
        return self.kind == "person" or scopes is None or not set(self.scopes).isdisjoint(scopes)


ACTORS = (
    Actor(NOBODY, "", ""),
    *(Actor(role or "no role", role) for role in ROLES),
    *(Actor(f"{role or 'no role'} who signed in", role, "person") for role in ROLES),
    *(Actor(f"{role or 'no role'} on a page", role, "session") for role in ROLES),
    Actor("researcher's access token", "researcher", "access token"),
    *(
        Actor(f"admin's token to {scope}", "admin", scopes=(scope,))
        for scope in ("learn", "predict", "read", "manage", "create")
    ),
    Actor("a cluster's agent", "admin", "agent", scopes=("compute",)),
    Actor("admin's token for this stream", "admin", streams="this"),
    Actor("admin's token for other streams", "admin", streams="others"),
)


def expected(actor: Actor, rule: Rule, *, own: bool, is_page: bool = False) -> str:
    """What the actor's request must come to: ``ok``, ``sign in`` (a page's way to say it), ``401``, ``403`` or ``404``."""
    if rule.is_public:
        # A public address may show more to those who are signed in.
        sees = rule.role is not None and actor.kind == "session" and actor.has(rule.role)
        return "ok" if sees else rule.known
    if is_page:
        if actor.kind != "session":
            return "sign in"
        actor = dataclasses.replace(actor, kind="person")
    elif actor.kind in ("", "session"):
        return "401"
    if actor.kind == "agent":
        return {"agent": rule.known, "basic": "ok"}.get(rule.takes, "403")
    if rule.takes == "agent":
        return "403"
    if rule.takes == "basic":
        return "ok" if actor.kind == "token" else "401"
    if rule.takes == "person" and actor.kind != "person":
        return "403"
    if not actor.may(rule.scopes) or not actor.may(rule.also) or (rule.role is not None and not actor.has(rule.role)):
        return "403"
    limited = {"others": rule.elsewhere, "this": rule.narrow, None: "ok"}[actor.streams]
    if limited != "ok":
        return limited
    if own or rule.others is None:
        return rule.always
    if actor.has(rule.others) and actor.may(rule.others_scopes):
        return rule.known
    cannot_read = rule.others_scopes is not None and not actor.may(("read",))
    return "404" if rule.hidden or cannot_read else "403"


@dataclasses.dataclass(frozen=True)
class Address:
    """One line of the matrix: what stands for the variable parts of the address, and a rule for each method."""

    parts: tuple[str, ...]
    rules: Mapping[str, Rule]

    def path(self, pattern: str) -> str:
        """The address with its variable parts filled in; ``{user}`` and the like are left for the test."""
        parts = iter(self.parts)
        return "/" + re.sub(r"<[^>]+>", lambda _: next(parts), pattern)


def at(*parts: str, **methods: Rule) -> Address:
    """A line of the matrix, such as ``at("s", get=READ, delete=CHANGE)``; HEAD goes with GET."""
    return Address(parts, {method.upper(): rule for method, rule in methods.items()})
