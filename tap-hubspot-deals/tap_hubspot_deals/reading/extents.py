"""How much there is to walk: what a walk must know before it is cut into legs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubspot_client.errors import AuthenticationError, HubSpotError, StopCleanlyError

from tap_hubspot_deals.reading.searching import extent

if TYPE_CHECKING:
    import logging

    from tap_hubspot_deals.reading.objects import ObjectReader
    from tap_hubspot_deals.settings import Settings


@dataclass(frozen=True)
class SearchedExtent:
    """Asks HubSpot's search; where that fails, nothing is cut.

    Args:
        reader: Which objects.
        settings: What of them is asked for, and how many come on a page.
        logger: Where a failure is told.
    """

    reader: ObjectReader
    settings: Settings
    logger: logging.Logger

    def __call__(self) -> tuple[int, int | None]:
        """About how many pages there are, and the highest id.

        Raises:
            HubSpotError: If HubSpot will answer nothing else, either.
        """
        try:
            total, highest = extent(self.reader, self.settings.filters)
        except (AuthenticationError, StopCleanlyError):
            raise
        except HubSpotError as exc:
            self.logger.warning("Reading with one cursor, because: %s", exc)
            return 0, None
        return total // self.settings.page_size, None if highest is None else int(highest)
