"""Values become HubSpot's texts exactly, and are compared by what they mean."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hubspot_client.properties import Definition, to_number
from hubspot_client.writing.values import UnfitError, is_same, to_text
from hypothesis import given
from hypothesis import strategies as st

OPTIONS = [{"value": "A"}, {"value": "B"}]


def definition(kind: str, field_type: str = "", **more: Any) -> Definition:
    return Definition("x", kind, field_type, **more)


MULTI = definition("enumeration", "checkbox", options=OPTIONS)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("number", 1000000.0, "1000000"),
        ("number", 1e16, "10000000000000000"),
        ("number", Decimal("1.50"), "1.50"),
        ("number", "1.50", "1.50"),
        ("number", "1e3", "1000"),
        ("number", 0.1, "0.1"),
        ("bool", True, "true"),
        ("bool", "FALSE", "false"),
        ("bool", 1, "true"),
        ("date", "2026-02-01T23:30:00+01:00", "2026-02-01"),
        ("date", date(1950, 1, 2), "1950-01-02"),
        ("datetime", "2026-02-01", "2026-02-01T00:00:00Z"),
        ("datetime", "2026-02-01T01:00:00+01:00", "2026-02-01T00:00:00Z"),
        ("datetime", datetime(2026, 2, 1, 1, 2, 3, 4000, tzinfo=UTC), "2026-02-01T01:02:03.004Z"),
        ("datetime", "2026-02-01 01:02:03", "2026-02-01T01:02:03Z"),
        ("string", " 01067\u00a0\u200b", "01067"),
        ("string", 7, "7"),
        ("string", None, ""),
    ],
)
def test_values_become_texts(kind: str, value: Any, text: str) -> None:
    assert to_text(definition(kind), value) == text


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("number", "1,5", "INVALID_NUMBER"),
        ("number", "NaN", "INVALID_NUMBER"),
        ("number", True, "INVALID_NUMBER"),
        ("number", float("inf"), "INVALID_NUMBER"),
        ("bool", "yes", "INVALID_OPTION"),
        ("date", "31.12.2026", "INVALID_DATE"),
        ("date", "2026-02-30", "INVALID_DATE"),
        ("datetime", "soon", "INVALID_DATE"),
        ("string", {"a": 1}, "INVALID_VALUE"),
        ("string", "x" * 65_537, "VALUE_TOO_LONG"),
        ("string", "half an emoji \ud83d", "INVALID_TEXT"),
        ("number", Decimal("1e999999999"), "INVALID_NUMBER"),
    ],
)
def test_what_does_not_fit_is_refused_without_its_value(kind: str, value: Any, code: str) -> None:
    with pytest.raises(UnfitError) as unfit:
        to_text(definition(kind), value)

    assert (unfit.value.code, unfit.value.property) == (code, "x")
    assert str(unfit.value) == f"x: {code}"


def test_options_are_joined_and_checked() -> None:
    assert to_text(MULTI, ["B", "A", "B"]) == "B;A"
    assert to_text(MULTI, ";A") == ";A"
    assert to_text(definition("enumeration", options=OPTIONS), "A") == "A"
    for value in (["C"], ["A;B"], "A;C"):
        with pytest.raises(UnfitError):
            to_text(MULTI, value)


@pytest.mark.parametrize(
    ("of", "text", "held", "same"),
    [
        (definition("number"), "1.50", "1.5", True),
        (definition("number"), "1", "N/A", False),
        (definition("date"), "2026-02-01", "1769904000000", True),
        (definition("datetime"), "2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000Z", True),
        (definition("string"), "", None, True),
        (definition("string"), "1.50", "1.5", False),
        (MULTI, "A;B", "B;A", True),
        (MULTI, ";A", "B;A", True),
        (MULTI, ";A", "B", False),
        (MULTI, ";A", None, False),
    ],
)
def test_values_are_compared_by_type(of: Definition, text: str, held: str, *, same: bool) -> None:
    assert is_same(of, text, held) is same


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.floats(-1e20, 1e20))
def test_every_number_comes_back_exactly(value: Decimal | float) -> None:
    text = to_text(definition("number"), value)

    assert "e" not in text.lower()
    assert Decimal(to_number(text)) == Decimal(repr(value) if isinstance(value, float) else value)
