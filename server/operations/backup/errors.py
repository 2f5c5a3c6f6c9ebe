"""What can go wrong with a backup, in one tree.

BackupError
├── Damaged
└── Newer
"""


class BackupError(Exception):
    """A backup that can't be made or restored, with a message that says why and what to do; nothing was changed."""


class Damaged(BackupError):
    """It was cut short or altered."""


class Newer(BackupError):
    """It was made by a version that knows more than this one."""
