"""Contents in an S3 bucket, by django-storages. Import it only where a bucket is used: boto3 is an optional package."""

import contextlib
import logging
from collections.abc import Iterator
from typing import BinaryIO

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from server.config import Config
from server.contents import contents
from server.contents.contents import CHUNK, Kept, Received
from server.core.errors import Unavailable

log = logging.getLogger(__name__)

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 2
PART = 8 * 2**20
"""Size from which a content is sent in parts of this size, bytes. One that was not completed is not in the bucket."""


class Bucket:
    """A bucket of any server that speaks S3. One client serves all threads of the process.

    Parameters
    ----------
    config
        The settings ``FILES_…``. Without an access key, boto3 looks for credentials (environment, instance role).
    """

    def __init__(self, config: Config) -> None:
        at = f" at {config.files_endpoint}" if config.files_endpoint else ""
        self.where = f"bucket {config.files_bucket}{at}"
        self._prefix = f"{config.files_prefix}/" if config.files_prefix else ""
        self._storage = S3Storage(
            bucket_name=config.files_bucket,
            location=config.files_prefix,
            access_key=config.files_access_key or None,
            secret_key=config.files_secret,
            security_token=None,
            endpoint_url=config.files_endpoint or None,
            region_name=config.files_region or None,
            default_acl=None,
            file_overwrite=True,
            client_config=ClientConfig(
                signature_version="s3v4",
                s3={"addressing_style": config.files_addressing},
                # Servers other than AWS may refuse the checksums that newer clients add; ours are compared anyway.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                max_pool_connections=16,
            ),
            transfer_config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False),
        )

    def size(self, sha256: str) -> int | None:
        with contextlib.suppress(FileNotFoundError), self._as_unavailable():
            return int(self._storage.size(contents.place(sha256)))
        return None

    def put(self, received: Received) -> None:
        with self._as_unavailable(), received.path.open("rb") as file:
            self._storage.save(contents.place(received.sha256), file)

    def open(self, sha256: str) -> BinaryIO:
        """Fetch a content into a file without a name, a part at a time."""
        file = contents.unnamed()
        try:
            with self._as_unavailable():
                body = self._storage.bucket.Object(self._prefix + contents.place(sha256)).get()["Body"]
                with contextlib.closing(body):
                    for chunk in body.iter_chunks(CHUNK):
                        file.write(chunk)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def delete(self, sha256: str) -> None:
        with self._as_unavailable():
            self._storage.delete(contents.place(sha256))

    def listed(self) -> Iterator[Kept]:
        with self._as_unavailable():
            for one in self._storage.bucket.objects.filter(Prefix=self._prefix):
                name = one.key.removeprefix(self._prefix)
                if contents.is_content(name):
                    yield Kept(name[3:], one.size, one.last_modified.timestamp())

    @contextlib.contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as exc:
            code = exc.response.get("Error", {}).get("Code", "") if isinstance(exc, ClientError) else type(exc).__name__
            if code in ("NoSuchKey", "404"):
                raise FileNotFoundError(code) from exc
            log.warning("%s: %s", self.where, code)
            raise Unavailable(
                f"the server can't reach its {self.where} for files ({code}); try again, or ask its admin to check "
                "TAILRACE_FILES_…",
                retry_after=30,
            ) from exc
