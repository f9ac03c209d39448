"""What differs between HubSpot's object types, as data.

The object API is the same for every type; a type adds only its names and those of its dates and
pipeline. Source: HubSpot's documentation of objects, search and pipelines.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectType:
    """One CRM object type.

    Args:
        name: What streams, tables and settings call it: HubSpot's plural, or a custom object's own
            name.
        singular: For the names of the streams that describe it.
        path: What HubSpot's paths call it, where that is not the name.
        modified: The property that moves with every change of a record.
        created: The property with the day of creation.
        pipeline: The properties with a record's pipeline and stage; None: it has none.
    """

    name: str
    singular: str
    path: str = ""
    modified: str = "hs_lastmodifieddate"
    created: str = "hs_createdate"
    pipeline: tuple[str, str] | None = None

    @property
    def in_paths(self) -> str:
        """The name for HubSpot's paths."""
        return self.path or self.name


HS_PIPELINE = ("hs_pipeline", "hs_pipeline_stage")

DEALS = ObjectType("deals", "deal", created="createdate", pipeline=("pipeline", "dealstage"))

_TYPES = (
    ObjectType("appointments", "appointment", pipeline=HS_PIPELINE),
    ObjectType("calls", "call"),
    ObjectType("carts", "cart"),
    ObjectType("commerce_payments", "commerce_payment"),
    ObjectType("communications", "communication"),
    ObjectType("companies", "company", created="createdate"),
    ObjectType("contacts", "contact", modified="lastmodifieddate", created="createdate"),
    ObjectType("courses", "course", pipeline=HS_PIPELINE),
    DEALS,
    ObjectType("emails", "email"),
    ObjectType("feedback_submissions", "feedback_submission"),
    ObjectType("goal_targets", "goal_target"),
    ObjectType("invoices", "invoice"),
    ObjectType("leads", "lead", pipeline=HS_PIPELINE),
    ObjectType("line_items", "line_item", created="createdate"),
    ObjectType("listings", "listing", pipeline=HS_PIPELINE),
    ObjectType("marketing_events", "marketing_event"),
    ObjectType("meetings", "meeting"),
    ObjectType("notes", "note"),
    ObjectType("orders", "order", pipeline=HS_PIPELINE),
    ObjectType("postal_mail", "postal_mail"),
    ObjectType("products", "product", created="createdate"),
    ObjectType("projects", "project"),
    ObjectType("quotes", "quote"),
    ObjectType("services", "service", pipeline=HS_PIPELINE),
    ObjectType("subscriptions", "subscription"),
    ObjectType("tasks", "task"),
    ObjectType("tickets", "ticket", created="createdate", pipeline=HS_PIPELINE),
    ObjectType("users", "user"),
)

STANDARD_TYPES = {object_type.name: object_type for object_type in _TYPES}
"""Object types that every account has; anything else has to be a custom object."""


def custom_type(name: str, object_type_id: str) -> ObjectType:
    """The account's own object type.

    Args:
        name: Its name in the settings, which becomes the stream's.
        object_type_id: HubSpot's id, such as `2-3453932`: it stays when the type is renamed.
    """
    return ObjectType(name, name, path=object_type_id)
