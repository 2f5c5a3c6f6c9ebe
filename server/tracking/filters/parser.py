"""The parser of filters and orders. Its grammar is that of MLflow's searches."""

import functools
from typing import Any

from server.core.errors import Invalid
from server.core.validation import check_text, format_value
from server.tracking.filters.clauses import Clause, Order

LONGEST = 20_000
"""Most characters of a filter."""
LONGEST_NUMBER = 1_000
"""Most characters of a number; Python reads no whole number of more than 4,300 digits."""
MOST_CLAUSES = 100
EXAMPLE = "metrics.loss < 0.1 AND params.`learning rate` = '0.01' AND tags.team LIKE 'a%'"
ORDER_EXAMPLE = "metrics.loss DESC"

GRAMMAR = r"""
filter: condition (_AND condition)*
condition: column OPERATOR value        -> comparison
         | column LIKE value            -> comparison
         | column _IN list              -> one_of
         | column _NOT _IN list         -> none_of
         | column _IS _NULL             -> missing
         | column _IS _NOT _NULL        -> present
order: column [DIRECTION]
column: name                            -> attribute
      | name "." key                    -> member
key: NAME ("." NAME)*                   -> plain_key
   | QUOTED                             -> quoted
   | DOUBLE                             -> quoted
name: NAME                              -> plain_name
    | QUOTED                            -> quoted
value: SINGLE                           -> text
     | DOUBLE                           -> text
     | NUMBER                           -> number
list: "(" item ("," item)* [","] ")"
item: SINGLE                            -> text
    | DOUBLE                            -> text

_AND.2: /AND\b/i
_IN.2: /IN\b/i
_NOT.2: /NOT\b/i
_IS.2: /IS\b/i
_NULL.2: /NULL\b/i
LIKE.2: /I?LIKE\b/i
DIRECTION.2: /(ASC|DESC)\b/i
OPERATOR: "<=" | ">=" | "!=" | "=" | "<" | ">"
NAME: /[\w$]+/
QUOTED: /`[^`]+`/
SINGLE: /'(''|[^'])*'/
DOUBLE: /"[^"]*"/
NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?/i
%ignore /\s+/
"""

WORDS = {
    "_AND": "AND", "_IN": "IN", "_NOT": "NOT", "_IS": "IS", "_NULL": "NULL", "LIKE": "LIKE", "DIRECTION": "ASC or DESC",
    "OPERATOR": "one of = != < <= > >=", "NAME": "a name", "QUOTED": "a `quoted name`", "SINGLE": "a 'quoted text'",
    "DOUBLE": 'a "quoted text"', "NUMBER": "a number", "LPAR": "(", "RPAR": ")", "COMMA": ",", "DOT": ".", "$END": "the end",
}  # fmt: skip
"""What messages call the terminals of the grammar."""


@functools.cache
def _parser() -> Any:
    import lark  # 3 MB and 50 ms: only where somebody searches

    return lark.Lark(GRAMMAR, start=["filter", "order"], parser="lalr", maybe_placeholders=True)


def parse_filter(text: Any, field: str = "filter") -> tuple[Clause, ...]:
    """Return the conditions of a filter. An empty filter has none.

    Raises
    ------
    Invalid
        If it isn't a filter. The message says where, and what was expected.
    """
    check_text(text, field, LONGEST)
    if not text.strip():
        return ()
    tree = _parse(text, "filter", field, EXAMPLE)
    if len(tree.children) > MOST_CLAUSES:
        raise Invalid(f"{field} has {len(tree.children)} conditions: the most allowed is {MOST_CLAUSES}", field=field)
    return tuple(_clause(child) for child in tree.children)


def parse_order(text: Any, field: str = "order_by") -> Order:
    """Return one column of an order.

    Raises
    ------
    Invalid
        If it isn't one. The message says where, and what was expected.
    """
    check_text(text, field, LONGEST)
    column, direction = _parse(text, "order", field, ORDER_EXAMPLE).children
    return Order(*_column(column), ascending=direction is None or direction.upper() == "ASC")


def _parse(text: str, start: str, field: str, example: str) -> Any:
    from lark.exceptions import UnexpectedInput

    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput as exc:
        raise Invalid(_why(text, exc, field, example), field=field) from None


def _why(text: str, exc: Any, field: str, example: str) -> str:
    position = exc.pos_in_stream if exc.pos_in_stream is not None and exc.pos_in_stream >= 0 else len(text)
    if getattr(getattr(exc, "token", None), "type", "") == "$END":
        position = len(text)
    rest = text[position:].strip()
    names = getattr(exc, "accepts", None) or getattr(exc, "allowed", None) or getattr(exc, "expected", None) or ()
    names = [name for name in sorted(names) if name != "DIRECTION" or example == ORDER_EXAMPLE]
    expected = list(dict.fromkeys(WORDS.get(name, name) for name in names))
    found = f"{format_value(rest[:30])} is at character {position + 1}" if rest else "it ends too early"
    said = f"{field} {format_value(text)} can't be read: {found}"
    if expected:
        said += f", expected {', '.join(expected[:-1])}{' or ' if len(expected) > 1 else ''}{expected[-1]}"
    return f"{said}{_hint(text[:position], rest)}. An example: {example}"


def _hint(before: str, rest: str) -> str:
    """Return advice for what people write most often."""
    word = rest.split(maxsplit=1)[0].upper() if rest else ""
    if word == "OR":
        return "; OR is not supported: conditions are joined by AND"
    if before.endswith(("=", "<")) and rest[:1] in ("=", ">"):
        return "; write = for equal and != for not equal"
    if rest[:1] in "-/:@ " and rest:
        return "; put a name with other characters than letters, digits, _ and . between backticks: metrics.`a-b`"
    return ""


def _clause(tree: Any) -> Clause:
    entity, key = _column(tree.children[0])
    match tree.data:
        case "comparison":
            return Clause(entity, key, tree.children[1].upper(), _value(tree.children[2]))
        case "one_of" | "none_of":
            items = tuple(_value(item) for item in tree.children[1].children if item is not None)
            return Clause(entity, key, "IN" if tree.data == "one_of" else "NOT IN", items)
        case _:
            return Clause(entity, key, "IS NULL" if tree.data == "missing" else "IS NOT NULL", None)


def _column(tree: Any) -> tuple[str, str]:
    if tree.data == "attribute":
        return "", _name(tree.children[0])
    return _name(tree.children[0]), _name(tree.children[1])


def _name(tree: Any) -> str:
    if tree.data == "quoted":
        return str(tree.children[0])[1:-1]
    return ".".join(str(token) for token in tree.children)


def _value(tree: Any) -> Any:
    token = str(tree.children[0])
    if tree.data == "number":
        if len(token) > LONGEST_NUMBER:
            raise Invalid(f"a number of {len(token)} characters: the longest allowed is {LONGEST_NUMBER}")
        return float(token) if set(token) & set(".eE") else int(token)
    return token[1:-1].replace("''", "'") if token.startswith("'") else token[1:-1]
