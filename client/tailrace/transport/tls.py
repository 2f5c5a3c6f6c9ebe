"""TLS contexts that verify servers with the system's and a site's certificate authorities. Imported for https only."""

from __future__ import annotations

import ssl

from tailrace.errors import Unusable

__all__ = ["context"]


def context(ca_file: str | None) -> ssl.SSLContext:
    """Returns a context that trusts the system's certificate authorities and those in ``ca_file``.

    ``SSL_CERT_FILE`` may replace the system's.

    Raises
    ------
    Unusable
        If the file cannot be read, or contains no certificate.
    """
    made = ssl.create_default_context()
    if ca_file is not None:
        try:
            made.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Unusable(f"TAILRACE_CA_FILE={ca_file} can't be used: {error}; expected certificates in PEM") from None
    return made
