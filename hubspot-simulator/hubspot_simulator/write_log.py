"""Every write that an account took: the measure for "exactly once"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Action = Literal["created", "updated", "archived", "linked", "unlinked", "defined", "redefined"]


@dataclass(frozen=True)
class Write:
    """One record written once; `changed` names the properties that have another value now."""

    action: Action
    object_type: str
    object_id: str
    trace_id: str | None = None
    changed: tuple[str, ...] = ()
    to: tuple[str, str] | None = field(default=None)
