"""What differs between HubSpot's object types, as data.

The object API is the same for every type; a type adds only its names and the names of its dates.
Source: HubSpot's object and search documentation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectType:
    """One CRM object type.

    Args:
        name: The plural name that paths, streams and tables carry.
        modified: The property that moves with every change of a record.
        created: The property with the day of creation.
    """

    name: str
    modified: str = "hs_lastmodifieddate"
    created: str = "hs_createdate"


DEALS = ObjectType("deals", created="createdate")

STANDARD_TYPES = (
    "appointments",
    "calls",
    "carts",
    "commerce_payments",
    "communications",
    "companies",
    "contacts",
    "courses",
    "deals",
    "emails",
    "feedback_submissions",
    "goal_targets",
    "invoices",
    "leads",
    "line_items",
    "listings",
    "marketing_events",
    "meetings",
    "notes",
    "orders",
    "postal_mail",
    "products",
    "projects",
    "quotes",
    "services",
    "subscriptions",
    "tasks",
    "tickets",
    "users",
)
"""Object types that every account has; anything else has to be a custom object."""
