"""Paths of the health probes."""

PROBE_PATHS = frozenset(("/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"))
"""Requests to them are not checked for host name, scheme, rate or credential. They are cheap and reveal nothing."""
