"""Search filters: what each operator means for each type of property."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from hubspot_simulator.errors import ApiError, invalid
from hubspot_simulator.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator.columns import Test
    from hubspot_simulator.properties import PropertyDefinition

Comparable = int | Decimal | str
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda value, wanted: value == wanted,
    "NEQ": lambda value, wanted: value != wanted,
    "LT": lambda value, wanted: value < wanted,
    "LTE": lambda value, wanted: value <= wanted,
    "GT": lambda value, wanted: value > wanted,
    "GTE": lambda value, wanted: value >= wanted,
}
WITHOUT_VALUE = {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}
WITH_VALUES = {"IN", "NOT_IN"}
OPERATORS = {
    *COMPARISONS,
    *WITHOUT_VALUE,
    *WITH_VALUES,
    "BETWEEN",
    "CONTAINS_TOKEN",
    "NOT_CONTAINS_TOKEN",
}


def comparable(definition: PropertyDefinition, value: str | None) -> Comparable | None:
    """Give what filters and sorts compare; None for a value that is none of its type."""
    if value is None or value == "":
        return None
    match definition.type:
        case "number":
            try:
                return Decimal(value)
            except InvalidOperation:
                return None
        case "date" | "datetime":
            return parse_instant(value)
        case "enumeration" | "bool":
            return value
        case _:
            return value.casefold()


def check_filter(each: dict[str, Any]) -> None:
    """Refuse a filter that lacks something, in HubSpot's words (observed)."""
    absent = [key for key in ("propertyName", "operator") if not each.get(key)]
    operator = each.get("operator")
    if not absent and operator not in OPERATORS:
        raise invalid(f"Invalid input JSON: Cannot build Filter, unknown operator {operator}")
    if operator in WITH_VALUES and not isinstance(each.get("values"), list):
        absent.append("values")
    elif operator in OPERATORS - WITHOUT_VALUE - WITH_VALUES and each.get("value") is None:
        absent.append("value")
    if operator == "BETWEEN" and each.get("highValue") is None:
        absent.append("highValue")
    if absent:
        names = ", ".join(absent)
        raise ApiError(
            400,
            "Invalid input JSON on line 1, column 102: Cannot build Filter, some of required "
            f"attributes are not set [{names}]",
        )


def wanted(definition: PropertyDefinition, value: Any) -> Comparable:
    """Read a filter's value as the property's type."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    found = comparable(definition, text)
    if found is None and text:
        raise invalid(f"{text!r} is not a valid {definition.type} for {definition.name}")
    if definition.type in {"date", "datetime"} and found == 0:
        # Observed: a filter at the epoch makes the search fail.
        raise ApiError(500, "internal error", category="INTERNAL_ERROR")
    return text if found is None else found


def filter_test(definition: PropertyDefinition, each: dict[str, Any]) -> Test:
    """Make the test that a property's value must pass.

    A record without a value passes NOT_HAS_PROPERTY only; that NEQ and NOT_IN leave it out is
    inferred.
    """
    operator = each["operator"]
    if operator in WITHOUT_VALUE:
        return bool if operator == "HAS_PROPERTY" else _is_empty
    if operator in WITH_VALUES:
        return _membership(definition, each["values"], within=operator == "IN")
    if operator in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        return _tokens(str(each["value"]), within=operator == "CONTAINS_TOKEN")
    if operator == "BETWEEN":
        return _between(definition, each["value"], each["highValue"])
    return _comparison(definition, operator, each["value"])


def _is_empty(value: str | None) -> bool:
    return not value


def _comparison(definition: PropertyDefinition, operator: str, value: Any) -> Test:
    right = wanted(definition, value)
    compare = COMPARISONS[operator]
    if definition.multiple and operator in {"EQ", "NEQ"}:
        return lambda text: (
            bool(text) and ((right in (text or "").split(";")) == (operator == "EQ"))
        )

    def test(text: str | None) -> bool:
        left = comparable(definition, text)
        return left is not None and compare(left, right)

    return test


def _between(definition: PropertyDefinition, low: Any, high: Any) -> Test:
    bottom: Any = wanted(definition, low)
    top: Any = wanted(definition, high)

    def test(text: str | None) -> bool:
        left: Any = comparable(definition, text)
        return left is not None and bottom <= left <= top

    return test


def _membership(definition: PropertyDefinition, values: list[Any], *, within: bool) -> Test:
    if definition.type in {"number", "date", "datetime"}:
        choices = {wanted(definition, value) for value in values}
    else:
        # HubSpot docs: string values of IN must be lower-case; those that are not never match.
        choices = {str(value) for value in values}

    def test(text: str | None) -> bool:
        if definition.multiple and text:
            return bool(choices.intersection(text.split(";"))) == within
        left = comparable(definition, text)
        return left is not None and (left in choices) == within

    return test


def _tokens(pattern: str, *, within: bool) -> Test:
    words = [
        re.compile(".*".join(map(re.escape, word.split("*"))), re.IGNORECASE | re.DOTALL)
        for word in pattern.split()
    ]

    def test(text: str | None) -> bool:
        if not text:
            return False
        tokens = re.split(r"[^\w*]+", text) + text.split()
        found = all(any(word.fullmatch(token) for token in tokens) for word in words)
        return found == within

    return test
