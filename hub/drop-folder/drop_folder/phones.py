"""Telephone numbers in one form, where the package phonenumbers is installed."""

from __future__ import annotations

try:
    import phonenumbers
except ImportError:  # the extra `phone`
    phonenumbers = None  # type: ignore[assignment]

IS_THERE = phonenumbers is not None


def international(text: str, region: str) -> str:
    """Give a number as E.164 writes it; what is no number stays as it stands.

    Args:
        text: As people write it.
        region: Where a number without a country's code is from, as `DE`.
    """
    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_valid_number(found):
        return text
    return str(phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164))
