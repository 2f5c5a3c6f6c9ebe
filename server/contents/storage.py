"""The place of contents that the settings name: a folder, or an S3 bucket."""

import functools

from django.conf import settings

from server.config import Config
from server.contents import contents
from server.contents.contents import Folder, Store


def store() -> Store:
    """Return where the contents of files are."""
    config: Config = settings.TAILRACE
    return _bucket(config) if config.files_bucket else Folder(contents.folder())


@functools.lru_cache(maxsize=4)
def _bucket(config: Config) -> Store:
    from server.contents.bucket import Bucket  # boto3 takes 0.3 s and 20 MB: only where it is used

    return Bucket(config)
