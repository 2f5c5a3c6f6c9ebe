"""What can be searched: the columns of a kind of thing, and the tables of its tags, params and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

TEXT, NUMBER, IDENTIFIER = "text", "number", "identifier"


@dataclass(frozen=True)
class Column:
    """A column of the thing itself.

    Parameters
    ----------
    value
        The name of a field, or an expression.
    kind
        ``text``; ``number``; or ``identifier``: a number that filters write as a text.
    can_filter, can_order
        Whether filters and orders may name it.
    """

    value: Any
    kind: str = TEXT
    can_filter: bool = True
    can_order: bool = True


@dataclass(frozen=True)
class Pairs:
    """A table of keys and values that belong to the thing.

    Parameters
    ----------
    model
        The table. It has the columns ``key`` and ``value``.
    owner
        The name of its foreign key.
    is_metric
        Whether values are numbers. The column ``special`` then says which are not finite.
    newest
        The order in which the first of several values of a key is the one to order by; empty if there is only one.
    differs_if_missing
        Keys for which ``!=`` also finds what has no such key.
    """

    model: type[Model]
    owner: str
    is_metric: bool = False
    newest: tuple[str, ...] = ()
    differs_if_missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Related:
    """Columns of other things that belong to the thing, such as the data sets of a run.

    Parameters
    ----------
    model
        The table that links them.
    owner
        The name of its foreign key to the thing.
    columns
        Their columns by name, as fields of the table that links them.
    """

    model: type[Model]
    owner: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Searchable:
    """What can be searched of a kind of thing.

    Parameters
    ----------
    what
        Its name, for messages.
    attributes
        Its columns by name.
    entities
        Its tables by the name that filters give them, such as ``metrics``.
    attribute_entities
        Names under which filters may write its columns: ``attributes.status`` is ``status``.
    tie
        Fields that order what is equal otherwise.
    """

    what: str
    attributes: Mapping[str, Column]
    entities: Mapping[str, Pairs | Related] = field(default_factory=dict)
    attribute_entities: tuple[str, ...] = ("attribute", "attributes", "attr")
    tie: tuple[str, ...] = ("-id",)
