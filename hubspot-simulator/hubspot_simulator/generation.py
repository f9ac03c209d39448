"""Generated records: which values a property takes, derived from a seed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from hubspot_simulator.columns import Base, Computed, Pool
from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.properties import PropertyDefinition

START_MS = 1_704_067_200_000  # 2024-01-01
PERIOD_MS = 700 * 86_400_000  # generated records were made within this time
DRIFT_MS = 30 * 86_400_000  # and changed last within this time after
PRIMES = (89, 97, 101, 103, 107, 109, 113)
# A real probability, as a Java BigDecimal prints a double (observed).
LONG_DECIMALS = (
    "0.200000000000000011102230246251565404236316680908203125",
    "0.46257445217132568359375",
)
HUGE_DECIMALS = ("12345678901234567.89", "-98765432109876543210.123456789")
WORDS = [
    "annual",
    "blue",
    "café",
    "delta",
    "east",
    "fleet",
    "global",
    "harbor",
    "inner",
    "joint",
    "kappa",
    "lunar",
    "müller",
    "north",
]
TEXTS = (
    "Umsatz größer als geplant",
    "日本語のメモ",
    "deal 🎉👩‍💻 won",
    'say "hello", then \\leave',
    "line one\nline two\r\nline three",
    "a;b;c",
    " padded ",
    "<p>rich &amp; text</p>",
    "2024-01-01",
    "00123",
    "null",
    "\u2028separator\ttab",
)
NAMES = {
    "dealname": "Deal",
    "firstname": "First",
    "lastname": "Last",
    "name": "Company",
    "subject": "Ticket",
    "hs_title": "Quote",
    "hs_lead_name": "Lead",
}
# Few properties hold the longest texts, or portals with many would send megabytes a page.
LONG_TEXTS = {f"custom_{number}" for number in range(1, 10)}
FREE_NUMBERS = {
    "hs_is_closed_count": ("0", "1"),
    "hs_created_by_user_id": ("1001", "1002"),
    "hs_updated_by_user_id": ("1001", "1002"),
}


@dataclass(frozen=True)
class Flavour:
    """What a portal's generated values depend on."""

    seed: int
    owners: tuple[str, ...] = ()
    odd_values: bool = False


def _decimal(rng: Random) -> str | None:
    kind = rng.random()
    if kind < 0.1:
        return None
    if kind < 0.15:
        return ""
    if kind < 0.25:
        return rng.choice(LONG_DECIMALS)
    if kind < 0.6:
        return str(rng.randrange(0, 250_000))
    return f"{rng.randrange(-1000, 90_000)}.{rng.randrange(100):02d}"


def _text(rng: Random) -> str | None:
    kind = rng.random()
    if kind < 0.15:
        return None
    if kind < 0.2:
        return ""
    if kind < 0.4:
        return rng.choice(TEXTS)
    return " ".join(rng.choices(WORDS, k=rng.randrange(1, 6)))


def _instant(rng: Random, flavour: Flavour) -> str | None:
    moment = START_MS + rng.randrange(PERIOD_MS)
    kind = rng.random()
    if kind < 0.2:
        return "" if kind < 0.03 else None
    if kind < 0.3:
        return iso(moment // 1000 * 1000)
    if flavour.odd_values and kind < 0.4:
        return str(moment)
    return iso(moment)


def _options(rng: Random, definition: PropertyDefinition, flavour: Flavour) -> str | None:
    if rng.random() < 0.2:
        return None
    # A value may have left the options since it was written (observed).
    choices = [*definition.options, "retired_option"] if definition.options else []
    if definition.external_options:
        choices = list(flavour.owners)
    if not choices:
        return None
    if definition.multiple:
        return ";".join(sorted(set(rng.choices(choices, k=rng.randrange(1, 4)))))
    return rng.choice(choices)


def _value(rng: Random, definition: PropertyDefinition, flavour: Flavour) -> str | None:
    value: str | None
    match definition.type:
        case "number":
            value = _decimal(rng)
        case "bool":
            value = rng.choice(("true", "false", "true", "false", None, ""))
        case "date":
            value = None if rng.random() < 0.2 else iso(START_MS + rng.randrange(PERIOD_MS))[:10]
        case "datetime":
            value = _instant(rng, flavour)
        case "enumeration":
            value = _options(rng, definition, flavour)
        case "phone_number":
            value = None if rng.random() < 0.3 else f"+1555{rng.randrange(10**7):07d}"
        case _:
            value = _text(rng)
    return value


@lru_cache(4096)
def pool(definition: PropertyDefinition, flavour: Flavour, type_name: str) -> Pool:
    """Values of one property. Portals that are alike share them: nobody changes a pool."""
    rng = Random(f"{flavour.seed}:{type_name}:{definition.name}:{definition.type}")
    values = [_value(rng, definition, flavour) for _ in range(rng.choice(PRIMES))]
    if flavour.odd_values and not definition.hubspot_defined:
        if definition.type == "number":
            values[3] = "N/A"
            values[4:6] = HUGE_DECIMALS
        if definition.type == "string" and definition.name in LONG_TEXTS:
            values[5] = "0123456789abcdef" * 4096
    return Pool(definition.name, values, rng.randrange(1, len(values)), rng.randrange(len(values)))


def dates(count: int, seed: int, *, same_millisecond: int = 0) -> tuple[array[int], array[int]]:
    """Spread creation over two years in order of id, and last changes over the month after.

    The last `same_millisecond` records all changed on one same millisecond.
    """
    step = PERIOD_MS // max(count, 1) // 1000 * 1000
    created = array(
        "q", (START_MS + each * step + each * 7919 % 997 * (each % 10 > 0) for each in range(count))
    )
    drift = Random(f"{seed}:updated").choices(range(1, DRIFT_MS), k=count)
    updated = array("q", map(int.__add__, created, drift))
    if same_millisecond:
        first = max(0, count - same_millisecond)
        updated[first:] = array("q", [START_MS + PERIOD_MS + 123]) * (count - first)
    return created, updated


def generate(
    object_type: ObjectType,
    definitions: list[PropertyDefinition],
    flavour: Flavour,
    *,
    count: int,
    first_id: int,
    same_millisecond: int = 0,
) -> Base:
    created, updated = dates(count, flavour.seed, same_millisecond=same_millisecond)
    base = Base(first_id, created, updated)
    for definition in definitions:
        name = definition.name
        if name in NAMES:
            base.add(Computed(name, lambda place, text=NAMES[name]: f"{text} {place + 1}"))  # type: ignore[misc]
        elif name == "email":
            base.add(Computed(name, lambda place: f"person{place + 1}@example.com"))
        elif name == "domain":
            base.add(Computed(name, lambda place: f"company{place + 1}.example.com"))
        elif name in FREE_NUMBERS:
            base.add(Pool(name, FREE_NUMBERS[name]))
        elif name not in {"hs_merged_object_ids", "hs_calculated_merged_vids"}:
            base.add(pool(definition, flavour, object_type.name))
    add_dates(object_type, base)
    return base


def add_dates(object_type: ObjectType, base: Base) -> None:
    """Add the columns that repeat a record's id and dates."""
    base.add(Computed("hs_object_id", lambda place: str(base.id_at(place))))
    for name in {object_type.created, "createdate", "hs_createdate"} & {
        object_type.created,
        *base.columns,
    }:
        base.add(Computed(name, lambda place: iso(base.created[place])))
    base.add(Computed(object_type.modified, lambda place: iso(base.updated[place])))
