"""Rules that an account's admin sets on values; HubSpot holds programs to them."""

from __future__ import annotations

from dataclasses import dataclass, field

CONDITIONAL_SINCE = "2026-09"
"""Since 2026-09-08 this version enforces the conditional and the creator's rules; older ones let
them pass (HubSpot's changelog)."""


@dataclass
class Rules:
    """Of one object type.

    `required_if` names properties that must be filled wherever another one is; `required_at_create`
    those that a new record must have; `only_letters` those that take nothing else.
    """

    only_letters: set[str] = field(default_factory=set)
    required_if: dict[str, str] = field(default_factory=dict)
    required_at_create: set[str] = field(default_factory=set)
