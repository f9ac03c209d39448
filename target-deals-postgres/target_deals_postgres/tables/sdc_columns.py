"""The `_sdc_` columns: what a record gets there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from target_deals_postgres.records.columns import DELETED, VERSION, Kind
from target_deals_postgres.records.lines import NULL, escape
from target_deals_postgres.records.values import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_deals_postgres.records.messages import Message

METADATA = {
    "_sdc_extracted_at": Kind.TIMESTAMP,
    "_sdc_received_at": Kind.TIMESTAMP,
    "_sdc_batched_at": Kind.TIMESTAMP,
    DELETED: Kind.TIMESTAMP,
    "_sdc_sequence": Kind.BIGINT,
    VERSION: Kind.BIGINT,
    "_sdc_sync_started_at": Kind.BIGINT,
}
# Metadata says when a row last changed: being seen again is no change.
UNCOMPARED = frozenset(METADATA) - {DELETED, VERSION}


def metadata_of(message: Message, names: Sequence[str], started: datetime) -> list[str]:
    """The texts of a record's metadata.

    Args:
        message: the record's message.
        names: the columns.
        started: when the run started.
    """
    now = time.time()
    extracted = message.time_extracted
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    known = {
        "_sdc_extracted_at": escape(storable(extracted, Kind.TEXT)) if extracted else NULL,
        "_sdc_received_at": moment,
        "_sdc_batched_at": moment,
        "_sdc_sequence": str(round(now * 1000)),
        VERSION: NULL if message.version is None else str(message.version),
        "_sdc_sync_started_at": str(round(started.timestamp() * 1000)),
    }
    return [known.get(name, NULL) for name in names]
