"""Exceptions of backups.

BackupError
├── Damaged
└── Newer
"""


class BackupError(Exception):
    """A backup can't be made or restored. The message says why and what to do. Nothing was changed."""


class Damaged(BackupError):
    """The backup was truncated or altered."""


class Newer(BackupError):
    """The backup was made by a newer version."""
