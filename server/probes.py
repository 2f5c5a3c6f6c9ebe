"""Addresses that are asked whether a server works: often, by whatever name or address, and by nobody in particular."""

PROBES = frozenset(("/healthz", "/readyz", "/ping"))
"""They cost next to nothing and tell nothing: no host name, scheme or rate is held against who asks."""
