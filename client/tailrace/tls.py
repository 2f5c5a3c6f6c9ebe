"""Trust in servers: the system's certificate authorities, or a site's own. Imported for https alone."""

from __future__ import annotations

import ssl

from tailrace.errors import Unusable

__all__ = ["context"]


def context(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies servers against the system's authorities (or ``SSL_CERT_FILE``) and those in ``ca_file``.

    Raises
    ------
    Unusable
        If the file can't be read or holds no certificate.
    """
    made = ssl.create_default_context()
    if ca_file is not None:
        try:
            made.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Unusable(f"TAILRACE_CA_FILE={ca_file} can't be used: {error}; expected certificates in PEM") from None
    return made
