"""Views of the native API for users: create, list, set roles, block, reset passwords, sign out."""

from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import passwords, users
from server.accounts.roles import ROLES
from server.api import caller, fields
from server.api.serializers import RequestSerializer, Serializer
from server.api.v1 import token_checks
from server.api.v1.view import created, operation
from server.core.errors import NotFound
from server.core.validation import format_value
from server.streams.quotas.limits import NEAR_SHARE, QUOTAS, STATES

ROLE = fields.Choice(ROLES, allow_null=True)


class Password(fields.Text):
    """A password. No message shows it."""

    def __init__(self, help_text: str | None = None, **options: Any) -> None:
        super().__init__(
            help_text, max_length=passwords.LONGEST, pattern="", keywords={"format": "password"}, **options
        )

    def read(self, value: Any, path: str) -> str:
        return passwords.check_text(value, path)


NEW_PASSWORD: dict[str, Any] = {
    "help_text": "Not only digits, not a common password, and not similar to the user's name",
    "min_length": 12,
}


class QuotaSerializer(Serializer):
    name = fields.Choice(QUOTAS)
    of = fields.Choice(("user", "token"), "Whose it is")
    used = fields.Count("Number of objects; bytes, if the name ends with bytes")
    limit = fields.Whole("Null: no limit", min_value=1, allow_null=True)
    share = fields.Number("Used share of the limit; null without a limit", min_value=0, allow_null=True)
    state = fields.Choice(
        STATES, f"`near` from {NEAR_SHARE:.0%} on; `reached`: more is refused, with 403 and the code `quota_exceeded`"
    )


class UserSerializer(Serializer):
    user, role = fields.Text(), ROLE
    active = fields.Flag("Not blocked")
    has_password = fields.Flag()
    created_at, last_sign_in = fields.Time(), fields.Time(allow_null=True)
    quotas = fields.Items(QuotaSerializer())


class UserListSerializer(Serializer):
    users = fields.Items(UserSerializer())


class NewUserSerializer(RequestSerializer):
    user = fields.Field(
        "1 to 150 letters, digits, '.', '@', '+', '-' or '_', the first a letter, a digit or '_'",
        {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,149}$"},
    )
    role = fields.Choice(ROLES, default="viewer")
    password = Password(**NEW_PASSWORD, allow_null=True, default=None)


class UserChangeSerializer(RequestSerializer):
    role = fields.Choice(ROLES)


class NewPasswordSerializer(Serializer):
    user = fields.Text()
    password = fields.Text("It is shown only here")


class SignInSerializer(Serializer):
    id = fields.Whole(min_value=1)
    created_at, refreshed_at, expires_at = fields.Time(), fields.Time(), fields.Time()
    address = fields.Text()
    agent = fields.Text("The User-Agent header of the sign-in")


class SignInListSerializer(Serializer):
    sign_ins = fields.Items(SignInSerializer())


class Users(token_checks.ServerWide):
    """All users."""

    @operation("listUsers", answers={200: UserListSerializer})
    def get(self, request: Request) -> Response:
        """List the users."""
        return Response({"users": users.details(User.objects.order_by("username"))})

    @operation("createUser", NewUserSerializer, answers={201: UserSerializer}, errors=(409,))
    def post(self, request: Request) -> Response:
        """Create a user.

        Leave the password out for a program that uses tokens, for a person who signs in by OpenID Connect, or for a user who
        gets a password later.
        """
        given = self.body(request)
        user = users.create(given["user"], given["role"], given["password"])
        return created(_one(user), f"/api/v1/users/{quote(user.username)}/")


class OneUser(token_checks.ServerWide):
    """One user."""

    @operation("getUser", answers={200: UserSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Show a user."""
        return Response(_one(users.find(name)))

    @operation("changeUser", UserChangeSerializer, answers={200: UserSerializer}, errors=(409,))
    def patch(self, request: Request, name: str) -> Response:
        """Give a user another role.

        It applies from the next request on, also to existing tokens and access tokens. The role of the last active admin
        cannot be changed.
        """
        user = users.find(name)
        users.set_role(user, self.body(request)["role"])
        return Response(_one(user))


class Block(token_checks.ServerWide):
    """Blocking of a user."""

    @operation("blockUser", answers={200: UserSerializer}, errors=(409,))
    def post(self, request: Request, name: str) -> Response:
        """Block a user with a role below yours (admins: any other user).

        Their tokens, access tokens, sign-ins and sessions stop working at once. A repeated request changes nothing.
        """
        user = users.find(name)
        users.block(user, token_checks.person(request._request))
        return Response(_one(user))


class Unblock(token_checks.ServerWide):
    """Unblocking of a user."""

    @operation("unblockUser", answers={200: UserSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Unblock a user with a role below yours (admins: any user).

        Their tokens work again. People must sign in again.
        """
        user = users.find(name)
        users.unblock(user, token_checks.person(request._request))
        return Response(_one(user))


class ResetPassword(token_checks.ServerWide):
    """Reset of a password."""

    @operation("resetPassword", answers={200: NewPasswordSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Give a user with a role below yours (admins: any other user) a new random password.

        It is shown only in this answer. Their sign-ins and sessions end. Their tokens keep working.
        """
        user = users.find(name)
        password = users.reset_password(user, token_checks.person(request._request))
        return Response({"user": user.username, "password": password}, headers={"Cache-Control": "no-store"})


class SignIns(token_checks.ServerWide):
    """Sign-ins of a user over the API."""

    @operation("listSignIns", answers={200: SignInListSerializer})
    def get(self, request: Request, name: str) -> Response:
        """List your sign-ins, the newest first (admins: those of any user)."""
        token_checks.check_scope(request._request, "read", "manage")
        found = users.working_sign_ins(_own_or_managed(request._request, name))
        return Response({"sign_ins": SignInSerializer(found, many=True).data})

    @operation("endSignIns", answers={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Sign yourself out everywhere (admins: any user).

        Sign-ins, their access tokens and browser sessions end at once. Tokens keep working.
        """
        token_checks.check_scope(request._request, "manage")
        users.end_sign_ins(_own_or_managed(request._request, name), "signed out everywhere")
        return Response(status=204)


def _own_or_managed(request: HttpRequest, name: str) -> User:
    """Return the user with that name. A caller who may not manage users can only find themselves."""
    who = caller.identity(request)
    if who is not None and name != who.username and not caller.may(request, "manage_users"):
        raise NotFound(f"no user named {format_value(name)}", field="user")
    return users.find(name)


def _one(user: User) -> dict[str, Any]:
    return users.details([user])[0]
