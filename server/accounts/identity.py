"""Who is calling."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose credential was verified.

    Attributes
    ----------
    user_id, username
        The active user that the credential acts as.
    token_id
        The token that was shown, or that the access token shown was issued for.
    """

    user_id: int
    username: str
    token_id: int
