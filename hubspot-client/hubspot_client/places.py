"""A budget's numbers, as programs share them: the state of the limit, and a place a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableSequence

PLACES = 1024
"""Requests that are remembered; limits above it are no limits that HubSpot has."""


class At:
    """Where a number stands; all begin with 0. No enum: each request looks up dozens of them."""

    NEXT: Final = 0  # the earliest moment of the next request, by the pace
    CLOSED: Final = 1  # the moment until which nothing goes out
    MAXIMUM: Final = 2  # the account's limit, as answers name it
    OTHERS: Final = 3  # requests of others that count now
    HEARD: Final = 4  # when that was told
    CREDIT: Final = 5  # requests that may go out at once
    UPDATED: Final = 6  # until when the credit was reckoned
    SLOWED: Final = 7  # the part of the rate that 429s took
    FAILED: Final = 8  # when the last of them came
    HEAD: Final = 9  # the place of the oldest request
    COUNT: Final = 10  # requests of ours that count now
    PLACES: Final = 11  # from here on, the moment of each


SIZE = At.PLACES + PLACES


def place(numbers: MutableSequence[float], index: float) -> int:
    """Where the moment of a request stands, counted from the oldest."""
    return At.PLACES + int(numbers[At.HEAD] + index) % PLACES


def add(numbers: MutableSequence[float], now: float) -> None:
    """Let a request count from now on."""
    if numbers[At.COUNT] == PLACES:
        numbers[At.HEAD] = (numbers[At.HEAD] + 1) % PLACES
        numbers[At.COUNT] -= 1
    numbers[place(numbers, numbers[At.COUNT])] = now
    numbers[At.COUNT] += 1


def age(numbers: MutableSequence[float], until: float) -> int:
    """Forget the requests of a moment and of those before it; tell how many."""
    aged = 0
    while numbers[At.COUNT] and numbers[place(numbers, 0)] <= until:
        numbers[At.HEAD] = (numbers[At.HEAD] + 1) % PLACES
        numbers[At.COUNT] -= 1
        aged += 1
    return aged


def remove(numbers: MutableSequence[float], moment: float) -> None:
    """Take a place away; one that has aged meanwhile is not there any more."""
    count = int(numbers[At.COUNT])
    kept: list[float] = []
    for index in range(count - 1, -1, -1):
        each = numbers[place(numbers, index)]
        if each == moment:
            for at, later in enumerate(reversed(kept), index):
                numbers[place(numbers, at)] = later
            numbers[At.COUNT] -= 1
            return
        if each < moment:
            return
        kept.append(each)


def counted_at(numbers: MutableSequence[float], moment: float, interval: float) -> int:
    """How many of our requests counted when one of a moment did; some have aged since."""
    index, found = int(numbers[At.COUNT]) - 1, 0
    while index > numbers[At.COUNT] - PLACES:
        sent = numbers[place(numbers, index)]
        if sent <= moment - interval:
            break
        found += sent <= moment
        index -= 1
    return found
