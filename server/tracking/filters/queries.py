"""Queries made from filters and orders. Values of filters are parameters of the SQL, never a part of its text."""

import math
from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import Any

from django.db.models import Case, Exists, F, FloatField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, In, IsNull, LessThan, LessThanOrEqual

from server.core.errors import Invalid
from server.core.validation import format_value
from server.tracking.filters.clauses import NUMBER_OPERATORS, PAIR_OPERATORS, TEXT_OPERATORS, Clause, Order
from server.tracking.filters.columns import IDENTIFIER, NUMBER, TEXT, Column, Pairs, Related, Searchable
from server.tracking.filters.parser import parse_filter, parse_order
from server.tracking.filters.patterns import ILike, Like
from server.tracking.values import NAN

LARGEST_INTEGER = 2**63 - 1
MOST_ORDERS = 20
LONGEST_PATTERN = 500
"""Most characters of a pattern. To compare one takes the product of its length and the text's, and can't be interrupted."""

LOOKUPS: dict[str, Any] = {
    "=": Exact, "<": LessThan, "<=": LessThanOrEqual, ">": GreaterThan, ">=": GreaterThanOrEqual,
    "LIKE": Like, "ILIKE": ILike,
}  # fmt: skip


def filtered(things: QuerySet[Any], searchable: Searchable, text: Any, field: str = "filter") -> QuerySet[Any]:
    """Return those things that match a filter.

    Raises
    ------
    Invalid
        If it isn't a filter, or names what can't be searched.
    """
    conditions = [_condition(clause, searchable, field) for clause in parse_filter(text, field)]
    return things.filter(reduce(and_, conditions)) if conditions else things


def ordered(
    things: QuerySet[Any], searchable: Searchable, texts: Iterable[Any], field: str = "order_by"
) -> QuerySet[Any]:
    """Return the things in this order. What has no value in a column comes last, and before it what isn't a number.

    Raises
    ------
    Invalid
        If a text isn't a column of an order, or one that can't be ordered by, or is named twice.
    """
    orders: list[Any] = []
    seen: set[str] = set()
    for number, text in enumerate(texts):
        if number >= MOST_ORDERS:
            raise Invalid(f"{field} has more than {MOST_ORDERS} columns", field=field)
        order = parse_order(text, f"{field}[{number}]")
        found = _ordering(order, searchable, f"{field}[{number}]", number)
        name = f"{type(found.where).__name__}:{found.name}"
        if name in seen:
            raise Invalid(f"{field} has {order.column} twice", field=f"{field}[{number}]")
        seen.add(name)
        things = things.annotate(**found.annotations)
        orders += found.orders
    return things.order_by(*orders, *searchable.tie)


class _Ordering:
    """The annotations and columns of one order."""

    def __init__(self, where: Any, name: str, value: Any, order: Order, number: int, special: Any = None) -> None:
        self.where, self.name = where, name
        self.annotations = {f"order_{number}": value}
        self.orders: list[Any] = []
        if special is not None:
            self.annotations[f"rank_{number}"] = Case(
                When(Exact(special, Value(NAN)), then=1), When(IsNull(special, True), then=2), default=0
            )
            self.orders.append(F(f"rank_{number}").asc())
        by = F(f"order_{number}")
        self.orders.append(by.asc(nulls_last=True) if order.ascending else by.desc(nulls_last=True))


def _ordering(order: Order, searchable: Searchable, field: str, number: int) -> _Ordering:
    where = _entity(order, searchable, field)
    if where is None:
        column = _attribute(order, searchable, field)
        if not column.can_order:
            raise _unknown(order, [name for name, one in searchable.attributes.items() if one.can_order], field)
        value = F(column.value) if isinstance(column.value, str) else column.value
        return _Ordering(None, str(value), value, order, number)
    if isinstance(where, Related):
        raise Invalid(
            f"{order.column} can't be ordered by: order by an attribute, a metric, a param or a tag", field=field
        )
    rows = where.model._default_manager.filter(**{where.owner: OuterRef("pk"), "key": order.key}).order_by(
        *where.newest
    )
    special = Subquery(rows.values("special")[:1]) if where.is_metric else None
    return _Ordering(where.model, order.key, Subquery(rows.values("value")[:1]), order, number, special)


def _condition(clause: Clause, searchable: Searchable, field: str) -> Any:
    where = _entity(clause, searchable, field)
    if where is None:
        column = _attribute(clause, searchable, field)
        if not column.can_filter:
            raise _unknown(clause, [name for name, one in searchable.attributes.items() if one.can_filter], field)
        left = F(column.value) if isinstance(column.value, str) else column.value
        return _compared(left, clause, column.kind, field)
    if isinstance(where, Related):
        if clause.key not in where.columns:
            raise _unknown(clause, [f"{clause.entity}.{name}" for name in where.columns], field)
        rows = where.model._default_manager.filter(**{where.owner: OuterRef("pk")})
        return Q(Exists(rows.filter(_compared(where.columns[clause.key], clause, TEXT, field))))
    return _of_pairs(where, clause, field)


def _of_pairs(where: Pairs, clause: Clause, field: str) -> Any:
    rows = where.model._default_manager.filter(**{where.owner: OuterRef("pk"), "key": clause.key})
    if clause.operator in ("IS NULL", "IS NOT NULL"):
        found = Q(Exists(rows))
        return ~found if clause.operator == "IS NULL" else found
    if not where.is_metric:
        _check_operator(clause, PAIR_OPERATORS, field)
        found = Q(Exists(rows.filter(_compared(F("value"), clause, TEXT, field))))
        return found | ~Q(Exists(rows)) if clause.operator == "!=" and clause.key in where.differs_if_missing else found
    condition = _compared(F("value"), clause, NUMBER, field)
    # NaN differs from every number, and is neither smaller nor larger.
    not_a_number = Q(special=NAN)
    return Q(Exists(rows.filter(condition | not_a_number if clause.operator == "!=" else condition & ~not_a_number)))


def _compared(left: Any, clause: Clause, kind: str, field: str) -> Q:
    _check_operator(clause, NUMBER_OPERATORS if kind == NUMBER else TEXT_OPERATORS, field)
    operator, value = clause.operator, clause.value
    if kind == NUMBER:
        value = _number(clause, field)
    elif isinstance(value, (int, float)):
        raise Invalid(
            f"{field}: {clause.column} is compared with the number {value}: put a text between quotes, such as '{value}'",
            field=field,
        )
    if kind == IDENTIFIER:
        if operator in ("LIKE", "ILIKE"):
            raise Invalid(f"{field}: {clause.column} is a number: compare it by = != IN or NOT IN", field=field)
        value = tuple(_identifier(one) for one in value) if isinstance(value, tuple) else _identifier(value)
    if operator in ("LIKE", "ILIKE") and len(value) > LONGEST_PATTERN:
        raise Invalid(
            f"{field}: {clause.column} is compared with a pattern of {len(value)} characters: the longest allowed is "
            f"{LONGEST_PATTERN}",
            field=field,
        )
    if operator in ("IN", "NOT IN"):
        found = Q(In(left, value))
        return ~found if operator == "NOT IN" else found
    if operator == "!=":
        return ~Q(Exact(left, _wrapped(value)))
    return Q(LOOKUPS[operator](left, _wrapped(value)))


def _wrapped(value: Any) -> Value:
    return Value(value, output_field=FloatField()) if isinstance(value, float) else Value(value)


def _number(clause: Clause, field: str) -> float | int:
    value = clause.value
    if not isinstance(value, (int, float)):
        raise Invalid(
            f"{field}: {clause.column} is compared with the text {format_value(value)}: expected a number", field=field
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"{field}: {clause.column} is compared with a number that is too large", field=field)
    if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return float(value) if abs(value) < 10**300 else 1.7e308 if value > 0 else -1.7e308
    return value


def _identifier(text: str) -> int:
    """Return a text as a number; one that no thing has if it isn't a number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _check_operator(clause: Clause, allowed: tuple[str, ...], field: str) -> None:
    if clause.operator not in allowed:
        raise Invalid(
            f"{field}: {clause.column} can't be compared by {clause.operator}: expected one of {' '.join(allowed)}",
            field=field,
        )


def _entity(named: Clause | Order, searchable: Searchable, field: str) -> Pairs | Related | None:
    """Return the table that a column is in; None for a column of the thing itself."""
    if not named.entity or named.entity in searchable.attribute_entities:
        return None
    found = searchable.entities.get(named.entity)
    if found is None:
        known = ", ".join([*searchable.attribute_entities[:1], *searchable.entities])
        raise Invalid(
            f"{field}: {named.column} is not a column of {searchable.what}: before the first . expected one of {known}",
            field=field,
        )
    return found


def _attribute(named: Clause | Order, searchable: Searchable, field: str) -> Column:
    found = searchable.attributes.get(named.key)
    if found is None:
        raise _unknown(named, list(searchable.attributes), field)
    return found


def _unknown(named: Clause | Order, known: list[str], field: str) -> Invalid:
    return Invalid(f"{field}: {named.column} is not known: expected one of {', '.join(known)}", field=field)
