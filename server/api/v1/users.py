"""Users of the native API: made, listed, given a role, blocked, given a password, signed out."""

from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from server.accounts import users
from server.api import caller
from server.api.codec import only
from server.api.v1 import credential
from server.api.v1.openapi import documented, one_of_path
from server.api.v1.view import created
from server.streams.errors import NotFound
from server.streams.validation import shown

NAME = one_of_path("name", "The user")


class Users(credential.ServerWide):
    """All users."""

    @documented("listUsers", "List the users", answers={200: "UserList"})
    def get(self, request: Request) -> Response:
        return Response({"users": users.told(User.objects.order_by("username"))})

    @documented(
        "createUser",
        "Make a user",
        "One without a password can't sign in with one: a program that has tokens, a person whom an issuer vouches for, "
        "or somebody who is given one later.",
        body="NewUser",
        answers={201: "User"},
        errors=(409,),
    )
    def post(self, request: Request) -> Response:
        payload = self.payload(request)
        only(payload, "user", "role", "password", required=("user",))
        user = users.create(payload["user"], payload.get("role", "viewer"), payload.get("password"))
        return created(_one(user), f"/api/v1/users/{quote(user.username)}/")


class OneUser(credential.ServerWide):
    """One user."""

    @documented("getUser", "Look at a user", parameters=[NAME], answers={200: "User"}, errors=(404,))
    def get(self, request: Request, name: str) -> Response:
        return Response(_one(users.find(name)))

    @documented(
        "changeUser",
        "Give a user another role",
        "It counts from the next request on, for tokens and access tokens that are there already, too. The last active "
        "admin stays one.",
        parameters=[NAME],
        body="UserChange",
        answers={200: "User"},
        errors=(404, 409),
    )
    def patch(self, request: Request, name: str) -> Response:
        user = users.find(name)
        payload = self.payload(request)
        only(payload, "role", required=("role",))
        users.set_role(user, payload["role"])
        return Response(_one(user))


class Block(credential.ServerWide):
    """Keeping a user out."""

    @documented(
        "blockUser",
        "Block a user of a role below yours (admins: anybody but themselves)",
        "Their tokens, access tokens, sign-ins and sessions stop working at once. A repeated request changes nothing.",
        parameters=[NAME],
        answers={200: "User"},
        errors=(404, 409),
    )
    def post(self, request: Request, name: str) -> Response:
        user = users.find(name)
        users.block(user, credential.person(request._request))
        return Response(_one(user))


class Unblock(credential.ServerWide):
    """Letting a user in again."""

    @documented(
        "unblockUser",
        "Unblock a user of a role below yours (admins: anybody)",
        "Their tokens work again; people sign in anew.",
        parameters=[NAME],
        answers={200: "User"},
        errors=(404,),
    )
    def post(self, request: Request, name: str) -> Response:
        user = users.find(name)
        users.unblock(user, credential.person(request._request))
        return Response(_one(user))


class Password(credential.ServerWide):
    """A new password for somebody else."""

    @documented(
        "resetPassword",
        "Give a user of a role below yours (admins: anybody but themselves) a new random password",
        "It is shown this once. Their sign-ins and sessions end; their tokens go on working.",
        parameters=[NAME],
        answers={200: "NewPassword"},
        errors=(404,),
    )
    def post(self, request: Request, name: str) -> Response:
        user = users.find(name)
        password = users.reset_password(user, credential.person(request._request))
        return Response({"user": user.username, "password": password}, headers={"Cache-Control": "no-store"})


class SignIns(credential.ServerWide):
    """Where a user is signed in over the API."""

    @documented(
        "listSignIns",
        "List a user's sign-ins (your own; admins: anybody's), the newest first",
        parameters=[NAME],
        answers={200: "SignInList"},
        errors=(404,),
    )
    def get(self, request: Request, name: str) -> Response:
        credential.check_scope(request._request, "read", "manage")
        columns = ("id", "created_at", "refreshed_at", "expires_at", "address", "agent")
        user = _own_or_managed(request._request, name)
        shown = [{column: getattr(found, column) for column in columns} for found in users.working_sign_ins(user)]
        return Response({"sign_ins": shown})

    @documented(
        "endSignIns",
        "Sign a user (yourself; admins: anybody) out everywhere",
        "Sign-ins, their access tokens and sessions of pages end at once; tokens go on working.",
        parameters=[NAME],
        answers={204: None},
        errors=(404,),
    )
    def delete(self, request: Request, name: str) -> Response:
        credential.check_scope(request._request, "manage")
        users.end_sign_ins(_own_or_managed(request._request, name), "signed out everywhere")
        return Response(status=204)


def _own_or_managed(request: HttpRequest, name: str) -> User:
    """The caller, or for those who manage users anybody; others are not there."""
    who = caller.identity(request)
    if who is not None and name != who.username and not caller.may(request, "manage_users"):
        raise NotFound(f"no user named {shown(name)}", field="user")
    return users.find(name)


def _one(user: User) -> dict[str, Any]:
    return users.told([user])[0]
