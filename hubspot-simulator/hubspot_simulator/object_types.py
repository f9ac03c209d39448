"""HubSpot's object types: their names and ids, their date properties, defaults and scopes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubspot_simulator.errors import ApiError

TYPE_ID = re.compile(r"\d+-\d+")


@dataclass(frozen=True)
class ObjectType:
    """One kind of CRM record."""

    name: str
    singular: str
    type_id: str
    modified: str = "hs_lastmodifieddate"
    created: str = "hs_createdate"
    defaults: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    schema_scopes: tuple[str, ...] = ()
    custom: bool = False

    @property
    def always(self) -> tuple[str, ...]:
        """Name the properties that come back whatever is asked for (observed)."""
        return (self.created, self.modified, "hs_object_id")


def _standard(
    name: str,
    singular: str,
    number: int,
    *,
    modified: str = "hs_lastmodifieddate",
    created: str = "hs_createdate",
    defaults: str = "",
    scopes: str = "",
) -> ObjectType:
    granted = tuple(scopes.split()) or (f"crm.objects.{name}.read",)
    return ObjectType(
        name,
        singular,
        f"0-{number}",
        modified,
        created,
        tuple(defaults.split()),
        granted,
        (f"crm.schemas.{name}.read", *granted),
    )


# Names and ids: HubSpot docs, "Object type IDs". Default properties: "Using object APIs".
_ENGAGEMENT = "crm.objects.contacts.read"
STANDARD_TYPES = (
    _standard(
        "contacts",
        "contact",
        1,
        modified="lastmodifieddate",
        created="createdate",
        defaults="firstname lastname email",
    ),
    _standard("companies", "company", 2, created="createdate", defaults="name domain"),
    _standard(
        "deals",
        "deal",
        3,
        created="createdate",
        defaults="dealname amount closedate pipeline dealstage",
    ),
    _standard(
        "tickets",
        "ticket",
        5,
        created="createdate",
        defaults="content hs_pipeline hs_pipeline_stage hs_ticket_category hs_ticket_priority "
        "subject",
        scopes="tickets",
    ),
    _standard(
        "products",
        "product",
        7,
        created="createdate",
        defaults="name description price",
        scopes="crm.objects.products.read e-commerce",
    ),
    _standard(
        "line_items",
        "line_item",
        8,
        created="createdate",
        defaults="name quantity price amount",
        scopes="crm.objects.line_items.read e-commerce",
    ),
    _standard(
        "quotes",
        "quote",
        14,
        defaults="hs_title hs_expiration_date hs_status",
        scopes="crm.objects.quotes.read e-commerce",
    ),
    _standard("communications", "communication", 18, scopes=_ENGAGEMENT),
    _standard("feedback_submissions", "feedback_submission", 19),
    _standard("tasks", "task", 27, scopes=_ENGAGEMENT),
    _standard("notes", "note", 46, scopes=_ENGAGEMENT),
    _standard("meetings", "meeting", 47, scopes=_ENGAGEMENT),
    _standard("calls", "call", 48, scopes=_ENGAGEMENT),
    _standard("emails", "email", 49, scopes="sales-email-read"),
    _standard("invoices", "invoice", 53),
    _standard("postal_mail", "postal_mail", 116, scopes=_ENGAGEMENT),
    _standard("orders", "order", 123),
    _standard("leads", "lead", 136, defaults="hs_lead_name hs_lead_type hs_lead_label"),
    _standard("appointments", "appointment", 421, defaults="hs_appointment_name"),
)


def custom_type(name: str, number: int) -> ObjectType:
    return ObjectType(
        name,
        name,
        f"2-{number}",
        scopes=("crm.objects.custom.read",),
        schema_scopes=("crm.schemas.custom.read", "crm.objects.custom.read"),
        custom=True,
    )


class TypeNames:
    """Every name under which a portal's object types can be asked for."""

    def __init__(self, portal_id: int) -> None:
        self.portal_id = portal_id
        self.types: dict[str, ObjectType] = {}
        self._by_name: dict[str, ObjectType] = {}
        for object_type in STANDARD_TYPES:
            self.add(object_type)

    def add(self, object_type: ObjectType) -> None:
        self.types[object_type.name] = object_type
        names = [object_type.type_id]
        if object_type.custom:
            # HubSpot docs: p{hub id}_{name}; the short form without the id works too (observed).
            names += [f"p{self.portal_id}_{object_type.name}", f"p_{object_type.name}"]
        for name in names:
            self._by_name[name.lower()] = object_type
        for name in (object_type.name, object_type.singular):
            # A custom object may share a standard object's name; the standard one answers to it.
            self._by_name.setdefault(name.lower(), object_type)

    def resolve(self, name: str) -> ObjectType:
        found = self._by_name.get(name.lower())
        if found is None and TYPE_ID.fullmatch(name):
            raise ApiError(400, f"Invalid object or event type id: {name}")
        if found is None:
            raise ApiError(400, f"Unable to infer object type from: {name}")
        return found
