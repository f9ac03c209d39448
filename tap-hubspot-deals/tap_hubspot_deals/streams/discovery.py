"""Which streams an account has, by what the settings name and the catalog selects."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hubspot_client.errors import MissingScopeError
from hubspot_client.object_types import STANDARD_TYPES
from singer_sdk.exceptions import ConfigValidationError

from tap_hubspot_deals.reading.objects import MERGED_IDS
from tap_hubspot_deals.settings import ALL
from tap_hubspot_deals.streams.associations import AssociationsStream
from tap_hubspot_deals.streams.inventory import Inventory
from tap_hubspot_deals.streams.metadata import (
    DetailsStream,
    OwnersStream,
    PipelinesStream,
    PropertiesStream,
)
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.property_history import PropertyHistoryStream
from tap_hubspot_deals.streams.stage_history import StagesStream

if TYPE_CHECKING:
    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition

    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.base import Account, TenantStream


class Discovery:
    """Finds an account's streams.

    Args:
        account: The account that is read.
        wanted: The object types to read.
    """

    def __init__(self, account: Account, wanted: list[Settings]) -> None:
        self._account = account
        self._wanted = wanted
        self._inventory = Inventory(account)

    def streams(self) -> list[TenantStream]:
        """All streams; their fields come from the account's own property definitions.

        Raises:
            ConfigValidationError: If a setting names something that HubSpot does not know.
            MissingScopeError: If the token may not read an object type, unless that is to be
                skipped and another one is left.
            HubSpotError: If the definitions cannot be read.
        """
        found: list[TenantStream] = []
        wanted = self._wanted
        for one in wanted:
            if not self._is_selected(one):
                continue
            try:
                found += self._streams_of(one, alone=len(wanted) == 1)
            except MissingScopeError as exc:
                self._inventory.forbidden.append(str(exc))
        if self._inventory.faults:
            raise ConfigValidationError("Config validation failed", errors=self._inventory.faults)
        parents = [s for s in found if isinstance(s, ObjectStream)]
        self._refuse_forbidden(nothing_left=not parents)
        found += [*self._association_streams(parents), OwnersStream(self._account)]
        found.append(DetailsStream(self._account))
        _refuse_namesakes(found)
        return found

    def _is_selected(self, one: Settings) -> bool:
        """Whether the catalog wants anything of an object type: it costs no request otherwise."""
        standard = STANDARD_TYPES.get(one.name)
        singular = one.name if standard is None else standard.singular
        names = [one.name, f"{singular}_properties", f"{singular}_pipelines"]
        names += [f"{singular}_property_history", f"{singular}_stages"] if one.history else []
        return any(map(self._account.tap.selects, names)) or any(
            self._links_selected(one.name, to_type) for to_type in one.associations
        )

    def _links_selected(self, from_type: str, to_type: str) -> bool:
        """Whether the catalog wants the links of a pair, as a stream or within the records."""
        per_pair = self._account.settings.associations_per_pair
        stream = f"{from_type}_{to_type}" if per_pair else "associations"
        tap = self._account.tap
        return tap.selects(stream) or tap.selects(from_type, "associations")

    def _refuse_forbidden(self, *, nothing_left: bool) -> None:
        if not self._inventory.forbidden:
            return
        if self._account.settings.skip_missing_scopes and not nothing_left:
            for sentence in self._inventory.forbidden:
                self._account.tap.logger.warning("Skipped: %s", sentence)
            return
        raise MissingScopeError(" ".join(self._inventory.forbidden), status=403)

    def _streams_of(self, one: Settings, *, alone: bool) -> list[TenantStream]:
        inventory = self._inventory
        object_type = inventory.object_type(one.name, "objects")
        if object_type is None:
            return []
        definitions = inventory.definitions(object_type)
        if not alone:
            inventory.try_to_read(object_type)
        definitions += inventory.sensitive(one, object_type, definitions)
        inventory.check_names("properties", one.properties or (), one, object_type, definitions)
        inventory.check_pipeline(one, object_type)
        names = one.associations
        linked = [t for n in names if (t := inventory.object_type(n, "associations"))]
        linked = [
            t
            for t in linked
            if not self._links_selected(one.name, t.name)
            or inventory.may_read_links(object_type, t)
        ]
        wanted = one.properties
        chosen = [d for d in definitions if wanted is None or d.name in wanted]
        described: list[TenantStream] = [
            PropertiesStream(self._account, f"{object_type.singular}_properties", definitions)
        ]
        if object_type.pipeline:
            name = f"{object_type.singular}_pipelines"
            described.append(PipelinesStream(self._account, name, object_type))
        return [
            ObjectStream(self._account, object_type, chosen, settings=one, linked=linked),
            *self._histories(one, object_type, definitions),
            *described,
        ]

    def _histories(
        self, one: Settings, object_type: ObjectType, definitions: list[Definition]
    ) -> list[TenantStream]:
        """The streams of what the records were, where the settings ask for them."""
        if not one.history:
            return []
        chosen = definitions
        if one.history == (ALL,):  # each version of the modified date would repeat another one
            wanted = one.properties
            chosen = [d for d in definitions if wanted is None or d.name in wanted]
            chosen = [d for d in chosen if d.name != object_type.modified]
        else:
            self._inventory.check_names("history", one.history, one, object_type, definitions)
            # When records were merged stands nowhere else.
            chosen = [d for d in definitions if d.name in {*one.history, MERGED_IDS}]
        found: list[TenantStream] = [PropertyHistoryStream(self._account, object_type, chosen)]
        if object_type.pipeline:
            found.append(
                StagesStream(self._account, object_type, object_type.pipeline, definitions)
            )
        return found

    def _association_streams(self, parents: list[ObjectStream]) -> list[AssociationsStream]:
        if not parents:
            return []
        if not self._account.settings.associations_per_pair:
            asked = {(one.name, name) for one in self._wanted for name in one.associations}
            read = sum(len(parent.linked) for parent in parents)
            writing = sum(bool(parent.linked) for parent in parents)
            whole = writing <= 1 and read == len(asked)
            return [AssociationsStream(self._account, "associations", whole=whole)]
        return [
            AssociationsStream(self._account, f"{parent.name}_{to_type.name}", whole=True)
            for parent in parents
            for to_type in parent.linked
        ]


def _refuse_namesakes(streams: list[TenantStream]) -> None:
    """Let no custom object take the name of another stream: one of them would be lost."""
    names = Counter(stream.name for stream in streams)
    faults = [
        f"Two streams would be called '{name}'. In `objects`, give the custom object its id "
        "(2-...) instead of its name."
        for name, number in names.items()
        if number > 1
    ]
    if faults:
        raise ConfigValidationError("Config validation failed", errors=faults)
