"""One record at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    """One record at one moment; a write makes a new one."""

    id: int
    created_ms: int
    updated_ms: int
    properties: dict[str, str | None] = field(default_factory=dict)
    archived_ms: int | None = None
