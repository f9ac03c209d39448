"""Generated portals: so many deals, contacts, companies and properties, from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubspot_simulator.generation import Flavour, generate
from hubspot_simulator.links import LinkRule
from hubspot_simulator.pipelines import SUPPORT, add_deal_stages, add_ticket_stages
from hubspot_simulator.properties import PropertyDefinition

if TYPE_CHECKING:
    from hubspot_simulator.account import Account
    from hubspot_simulator.columns import Base

# Custom properties take these types in turn.
CUSTOM_TYPES = (
    ("string", "text", ()),
    ("number", "number", ()),
    ("enumeration", "select", ("red", "green", "blue")),
    ("enumeration", "checkbox", ("A", "B", "C", "D e")),
    ("bool", "booleancheckbox", ()),
    ("date", "date", ()),
    ("datetime", "date", ()),
    ("string", "textarea", ()),
    ("phone_number", "phonenumber", ()),
)
FIRST_IDS = {"deals": 21_000_000_000, "contacts": 51_000, "companies": 7_100_000_000}
CUSTOM_OBJECT_FIRST_ID = 9_000_000_000


@dataclass(frozen=True)
class Scenario:
    """What a generated portal holds; `counts` are records of further types."""

    deals: int = 500
    seed: int = 1
    contacts: int | None = None
    companies: int | None = None
    contacts_per_deal: int = 2
    companies_per_deal: int = 1
    custom_properties: int = 9
    rotate_types: int = 0
    odd_values: bool = False
    same_millisecond: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        contacts, companies = self.contacts, self.companies
        if contacts is None:
            contacts = max(self.contacts_per_deal, self.deals * self.contacts_per_deal // 2)
        if companies is None:
            companies = max(self.companies_per_deal, self.deals // 5)
        return {"deals": self.deals, "contacts": contacts, "companies": companies, **self.counts}


def custom_properties(count: int, rotate: int) -> list[PropertyDefinition]:
    """Name them alike in every portal; rotated, the same name has another type."""
    found = []
    for each in range(count):
        kind, field_type, options = CUSTOM_TYPES[(each + rotate) % len(CUSTOM_TYPES)]
        name = f"custom_{each + 1}"
        found.append(PropertyDefinition(name, kind, field_type, options=options, group="custom"))
    return found


def populate(account: Account, scenario: Scenario) -> None:
    """Fill a portal; equal scenarios make equal portals."""
    active = tuple(owner.id for owner in account.owners if not owner.archived)
    flavour = Flavour(scenario.seed, active, scenario.odd_values)
    bases: dict[str, Base] = {}
    for name, count in scenario.sizes().items():
        object_type = account.types.resolve(name)
        definitions = account.definitions(name)
        for definition in custom_properties(scenario.custom_properties, scenario.rotate_types):
            definitions.put(definition)
        number = int(object_type.type_id.partition("-")[2])
        base = bases[object_type.name] = generate(
            object_type,
            definitions.all(),
            flavour,
            count=count,
            first_id=FIRST_IDS.get(object_type.name, CUSTOM_OBJECT_FIRST_ID + number * 1000),
            same_millisecond=scenario.same_millisecond if object_type.name == "deals" else 0,
        )
        if object_type.name == "deals":
            add_deal_stages(base, account.pipelines["deals"])
        if object_type.name == "tickets":
            add_ticket_stages(base, SUPPORT)
        account.fill(object_type, base)
    _link(account, scenario, bases)


def _link(account: Account, scenario: Scenario, bases: dict[str, Base]) -> None:
    account.add_label("deals", "contacts", "Decision maker", "Decides on")
    account.add_label("deals", "companies", "Billing company")
    rules = [
        ("deals", "contacts", scenario.contacts_per_deal),
        ("deals", "companies", scenario.companies_per_deal),
        ("contacts", "companies", 1),
        *((name, "contacts", 1) for name in bases if name not in FIRST_IDS),
        *((name, "deals", 1) for name in bases if name not in FIRST_IDS),
    ]
    for from_type, to_type, each in rules:
        if not each or not bases[to_type].count:
            continue
        start, end = account.types.types[from_type], account.types.types[to_type]
        unlabeled = account.association_types.unlabeled(start, end)
        primary = account.association_types.primary(start, end)
        label = next(
            (
                kind
                for kind in account.association_types.of(start, end)
                if kind.label and not kind.primary
            ),
            None,
        )
        account.links.add_rule(
            from_type,
            to_type,
            LinkRule(
                bases[from_type],
                bases[to_type],
                each,
                (primary, unlabeled) if primary else (unlabeled,),
                (unlabeled,),
                (label,) if label else (),
            ),
        )
