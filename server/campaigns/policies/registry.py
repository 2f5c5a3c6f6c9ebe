"""Policies by name: the built-in ones, and those of installed distributions."""

from importlib import metadata

from server.campaigns.policies.families import FamiliesPolicy
from server.campaigns.policies.policy import Policy
from server.campaigns.policies.simple import RandomPolicy, UncertaintyPolicy
from server.core.errors import Invalid
from server.core.printable import brief

__all__ = ["DEFAULT", "GROUP", "find", "names"]

GROUP = "tailrace.policies"
DEFAULT = FamiliesPolicy.name
_BUILT_IN: dict[str, type[Policy]] = {one.name: one for one in (FamiliesPolicy, RandomPolicy, UncertaintyPolicy)}


def names() -> list[str]:
    """Return the names of all policies: first the default, then the others in alphabetical order."""
    known = {*_BUILT_IN, *(one.name for one in metadata.entry_points(group=GROUP))}
    return [DEFAULT, *sorted(known - {DEFAULT})]


def find(name: str) -> Policy:
    """Return the policy of this name. A plug-in can't replace a built-in policy.

    Raises
    ------
    Invalid
        If there is none, or its plug-in can't be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == name:
            return _loaded(entry)
    raise Invalid(f"policy is {brief(name)}: expected one of {', '.join(names())}", field="policy")


def _loaded(entry: metadata.EntryPoint) -> Policy:
    try:
        policy = entry.load()()
    except Exception as error:  # a plug-in may raise anything
        raise Invalid(
            f"policy {entry.name} can't be loaded from {entry.value}: {type(error).__name__}: {error}. Repair or remove the "
            "distribution that registers it",
            field="policy",
        ) from error
    if not isinstance(policy, Policy):
        raise Invalid(
            f"policy {entry.name}, {entry.value}, is a {type(policy).__name__}: expected a subclass of "
            "server.campaigns.policies.policy.Policy",
            field="policy",
        )
    return policy
