"""The caller of a request and their permissions."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller with a verified credential.

    Attributes
    ----------
    user_id, username
        The active user that the credential acts as.
    token_id
        The token that was sent, or for which the access token was issued; 0 for a person who signed in.
    permissions
        Permissions of the user's roles that the token's scopes include: codenames of
        :class:`server.accounts.models.Access`.
    streams
        Names of the streams to which the token is restricted; None for all streams.
    ends
        Time of expiry, as :func:`time.time` counts; infinite for never.
    generation
        The :class:`server.streams.models.Generation` in which these values were read; None if there is none yet.
    cluster_id
        The cluster whose agent calls; None for everybody else.
    """

    user_id: int
    username: str
    token_id: int
    permissions: frozenset[str] = frozenset()
    streams: frozenset[str] | None = None
    ends: float = field(default=float("inf"))
    generation: int | None = None
    cluster_id: int | None = None

    @property
    def has_ended(self) -> bool:
        return time.time() >= self.ends

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def reaches(self, stream: str) -> bool:
        """Whether the credential is valid for that stream."""
        return self.streams is None or stream in self.streams
