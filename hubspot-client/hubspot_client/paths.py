"""Where HubSpot keeps things: one path per thing and API version.

HubSpot serves two families side by side: dated versions (`2026-09`, supported 18 months each) and
the older v3 paths with v4 associations (unsupported from September and March 2027). Source:
HubSpot's public API specifications and the changelog entry on legacy APIs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

DATED = re.compile(r"^\d{4}-(03|09)(-beta)?$")
LEGACY = "v3"


@dataclass(frozen=True)
class Paths:
    """Builds paths below the base URL.

    Args:
        version: `v3` (v3 objects with v4 associations) or a dated version such as `2026-09`.
    """

    version: str

    def objects(self, object_type: str) -> str:
        """List of records."""
        if self.version == LEGACY:
            return f"/crm/v3/objects/{object_type}"
        return f"/crm/objects/{self.version}/{object_type}"

    def search(self, object_type: str) -> str:
        """Search over records."""
        return f"{self.objects(object_type)}/search"

    def batch_read(self, object_type: str) -> str:
        """Records by id, 100 a call."""
        return f"{self.objects(object_type)}/batch/read"

    def associations(self, from_type: str, to_type: str) -> str:
        """Links of up to 1,000 records a call."""
        if self.version == LEGACY:
            return f"/crm/v4/associations/{from_type}/{to_type}/batch/read"
        return f"/crm/associations/{self.version}/{from_type}/{to_type}/batch/read"

    def batch(self, object_type: str, verb: str) -> str:
        """Records written 100 a call; `create`, `update`, `upsert` or `archive`."""
        return f"{self.objects(object_type)}/batch/{verb}"

    def links(self, from_type: str, to_type: str, verb: str) -> str:
        """Links written 2,000 a call: `associate/default`, or `create` for types."""
        root = self.associations(from_type, to_type).removesuffix("/read")
        return f"{root}/{verb}"

    def labels(self, from_type: str, to_type: str) -> str:
        """The association types between two object types; no paging."""
        return self.associations(from_type, to_type).removesuffix("/batch/read") + "/labels"

    def properties(self, object_type: str) -> str:
        """Property definitions; no paging."""
        if self.version == LEGACY:
            return f"/crm/v3/properties/{object_type}"
        return f"/crm/properties/{self.version}/{object_type}"

    def pipelines(self, object_type: str) -> str:
        """Pipelines with their stages; no paging."""
        if self.version == LEGACY:
            return f"/crm/v3/pipelines/{object_type}"
        return f"/crm/pipelines/{self.version}/{object_type}"

    def schemas(self) -> str:
        """The account's own object types; no paging."""
        version = "v3" if self.version == LEGACY else self.version
        return f"/crm-object-schemas/{version}/schemas"

    def owners(self) -> str:
        """Owners, page by page."""
        return "/crm/v3/owners" if self.version == LEGACY else f"/crm/owners/{self.version}"

    def account(self) -> str:
        """What is known about the account itself."""
        version = "v3" if self.version == LEGACY else self.version
        return f"/account-info/{version}/details"

    def daily_usage(self) -> str:
        """How many requests of the day the account has, and how many are used."""
        version = "v3" if self.version == LEGACY else self.version
        return f"/account-info/{version}/api-usage/daily/private-apps"

    def oauth_token(self) -> str:
        """Where a refresh token becomes an access token (the v1 endpoint ends 2027-02-16)."""
        version = "v3" if self.version == LEGACY else self.version
        return f"/oauth/{version}/token"

    def oauth_revoke(self) -> str:
        """Where a refresh token is ended."""
        return f"{self.oauth_token()}/revoke"


def query(params: Mapping[str, str | int]) -> str:
    """What stands behind the `?`; commas stay as they are: long lists of names are shorter so."""
    values = {name: quote(str(value), safe=",:-_.~") for name, value in params.items()}
    return "&".join(f"{name}={value}" for name, value in values.items())
