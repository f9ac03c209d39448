"""The converters against what they promise, over all texts there are."""

from __future__ import annotations

import json
import string
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hubspot_client import properties
from hubspot_client.properties import CONVERTERS, Memo, to_bool, to_date, to_datetime, to_list
from hubspot_client.properties import to_number as number
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tap_hubspot_deals.settings import CONFIG_SCHEMA, parse, validate

encode = msgspec.json.Encoder(decimal_format="number").encode
moments = st.datetimes(timezones=st.just(UTC))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_comes_out_with_every_digit(value: Decimal) -> None:
    if abs(value.as_tuple().exponent) < 9999:  # type: ignore[arg-type]
        line = encode(number(str(value)))
        assert json.loads(line, parse_float=Decimal, parse_int=Decimal) == value


@given(st.integers())
def test_a_whole_number_comes_out_as_it_came(value: int) -> None:
    assert encode(number(str(value))) == str(value).encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_expansion_of_a_double_is_exact(value: float) -> None:
    text = format(Decimal(value), "f")
    line = encode(number(text))
    assert json.loads(line, parse_float=Decimal, parse_int=Decimal) == Decimal(value)


numeric = st.text(st.sampled_from("0123456789.eE+-_ ,\u0663\u00b2"), max_size=12)


@settings(max_examples=1000)
@given(numeric | st.text(max_size=12))
@example("1e99999")
@example("\u0663")
@example("1\u0663")
@example("--1")
@example("infinity")
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        value = number(text)
    except ValueError:
        return
    assert not isinstance(value, float)
    assert json.loads(encode(value), parse_float=Decimal, parse_int=Decimal) == Decimal(text)


@given(st.text(max_size=8) | st.sampled_from(["true", "TRUE", "False", "false", "1", "0"]))
def test_any_text_is_a_boolean_or_refused(text: str) -> None:
    try:
        value = to_bool(text)
    except ValueError:
        assert text.lower() not in {"true", "false"}
    else:
        assert str(value).lower() == text.lower()


@given(st.dates())
def test_a_day_comes_out_as_it_came(day: date) -> None:
    assert to_date(day.isoformat()) == day.isoformat()


@given(moments)
def test_epoch_milliseconds_become_their_moment_and_day(moment: datetime) -> None:
    stamp = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp)
    assert datetime.fromisoformat(to_datetime(str(stamp))) == whole
    assert date.fromisoformat(to_date(str(stamp))) == whole.date()


@given(moments, st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_a_moment_comes_out_as_it_came(moment: datetime, fraction: str) -> None:
    text = moment.replace(tzinfo=None).isoformat(timespec=fraction) + "Z"
    assert to_datetime(text) == text


temporal = st.text(st.sampled_from(string.digits + "-:TZ.+ "), max_size=30)


@settings(max_examples=1000)
@given(temporal | st.integers(-(10**19), 10**19).map(str))
@example("0001-01-01T00:00:00+10:00")
@example("9999-12-31T23:59:59-10:00")
@example("2024-01-01T24:00:00Z")
@example("2024-01-01T00:00:00+99:00")
@example("-62135596800001")
@example("253402300800000")
def test_any_text_is_a_day_or_moment_or_refused(text: str) -> None:
    for convert, read in ((to_date, date.fromisoformat), (to_datetime, datetime.fromisoformat)):
        try:
            value = convert(text)
        except ValueError:
            continue
        assert isinstance(read(value), date)


@given(st.text())
def test_no_converter_fails_otherwise_than_by_value_error(text: str) -> None:
    for convert in CONVERTERS.values():
        try:
            convert(text)
        except ValueError:
            continue


@given(st.lists(st.integers(0, 5).map(str) | st.sampled_from(["x", ""])))
def test_what_is_remembered_is_what_would_be_made(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(properties, "REMEMBERED", 3)
        memo = Memo(number)
        for text in texts:
            if text.isdecimal():
                assert memo[text] == number(text)
            else:
                with pytest.raises(ValueError):  # noqa: PT011 - as without it
                    memo[text]
            assert len(memo) <= 3


@given(st.lists(st.text(st.characters(exclude_characters=";"), min_size=1)))
def test_options_come_apart_where_they_were_joined(options: list[str]) -> None:
    assert to_list(";".join(options)) == options


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=3
)
dates_of_any_kind = st.dates().map(str) | st.datetimes().map(str) | st.text(max_size=12)


@settings(max_examples=500, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: dates_of_any_kind
            if name.endswith("_date")
            else {
                "string": st.text(max_size=20),
                "boolean": st.booleans(),
                "integer": st.integers(),
                "array": st.lists(st.text(max_size=8), max_size=3),
            }[next(t for t in schema["type"] if t != "null")]
            for name, schema in CONFIG_SCHEMA["properties"].items()
        },
    )
)
@example({"access_token": "x", "tenant_id": "t", "end_date": "9999-12-31"})
@example({"access_token": "x", "tenant_id": "t", "start_date": "0001-01-01T00:00:00+23:00"})
def test_settings_are_refused_with_a_sentence_or_understood(config: dict[str, Any]) -> None:
    faults = validate(config)
    if faults:
        assert all("`" in fault and fault[-1] in ".)" for fault in faults)
    else:
        assert parse(config).tenant_id == config["tenant_id"]


@pytest.mark.parametrize(
    "text",
    [
        "2024-W22-5T07:09:39.911Z",
        "2024-02-30T07:09:39.911Z",
        "2024-05-31T24:09:39.911Z",
        "2024-05-31 07:09:39.911Z",
        "2024-05-31T07:09:39,911Z",
        "2024-05-31T070939.123456",
        "2024-05-31T07:09+01.911Z",
    ],
)
def test_what_only_looks_like_a_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_datetime(text)
