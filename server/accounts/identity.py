"""Who is calling, and what they may do."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credential was verified.

    Attributes
    ----------
    user_id, username
        The active user that the credential acts as.
    token_id
        The token that was shown, or that the access token shown was issued for; 0 for a person who signed in.
    permissions
        What the user's roles allow, as far as the token's scopes reach: codenames of
        :class:`server.accounts.models.Access`.
    streams
        Names of the only streams that the token works for; None for all.
    ends
        When the credential expires, as :func:`time.time` counts; infinite for never.
    generation
        The :class:`server.streams.models.Generation` that all this was read in; None where there is none yet.
    """

    user_id: int
    username: str
    token_id: int
    permissions: frozenset[str] = frozenset()
    streams: frozenset[str] | None = None
    ends: float = field(default=float("inf"))
    generation: int | None = None

    @property
    def has_ended(self) -> bool:
        return time.time() >= self.ends

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def reaches(self, stream: str) -> bool:
        """Whether the credential works for that stream."""
        return self.streams is None or stream in self.streams
