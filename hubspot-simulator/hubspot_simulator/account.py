"""What an account consists of: tokens, definitions, pipelines, owners, records, links, limits."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from hubspot_simulator.association_types import AssociationType, AssociationTypes
from hubspot_simulator.behaviour import Behaviour
from hubspot_simulator.columns import Base
from hubspot_simulator.credentials import TEST_TOKEN, Credential, OAuthClient
from hubspot_simulator.instants import Clock, milliseconds_of
from hubspot_simulator.limits import RateLimits
from hubspot_simulator.links import Links, Targets
from hubspot_simulator.object_types import ObjectType, TypeNames, custom_type
from hubspot_simulator.owners import Owner, generated_owners
from hubspot_simulator.pipelines import RENEWALS, SALES, SUPPORT, Pipeline, stage_definitions
from hubspot_simulator.properties import Definitions, PropertyDefinition
from hubspot_simulator.records import Records
from hubspot_simulator.standard_properties import standard_properties
from hubspot_simulator.truth import TrueLink, TrueRecord, Truth, truth_at, truth_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hubspot_simulator.write_log import Write

TEST_SECRET = "secret-1"
TEST_REFRESH_TOKEN = "refresh-1"


class Account:
    """One account and its settings."""

    def __init__(
        self,
        *,
        token: str = TEST_TOKEN,
        portal_id: int = 146_000_001,
        scopes: Iterable[str] | None = None,
        behaviour: Behaviour | None = None,
        limits: RateLimits | None = None,
        time_zone: str = "US/Eastern",
    ) -> None:
        self.portal_id = portal_id
        self.time_zone = time_zone
        self.token = token
        self.behaviour = behaviour or Behaviour()
        self.limits = limits or RateLimits()
        self.clock = Clock()
        self.lists_served = 0
        self.writes: list[Write] = []
        self.lock = RLock()
        self.types = TypeNames(portal_id)
        self.association_types = AssociationTypes()
        self.links = Links(self.association_types)
        self.pipelines: dict[str, list[Pipeline]] = {
            "deals": [SALES, RENEWALS],
            "tickets": [SUPPORT],
        }
        self.stage_properties: set[str] = set()
        self.owners: list[Owner] = generated_owners()
        self.oauth_clients: list[OAuthClient] = []
        self.credentials: dict[str, Credential] = {}
        self.add_token(token, scopes=scopes)
        self._records: dict[str, Records] = {}
        self._search_lag = self._search_flicker = 0.0
        for object_type in self.types.types.values():
            self.fill(object_type, Base())

    # Setting up

    def fill(self, object_type: ObjectType, base: Base) -> Records:
        """Let the records of a type begin with these."""
        known = self._records.get(object_type.name)
        definitions = known.definitions if known else Definitions(standard_properties(object_type))
        records = Records(object_type, definitions, base, self.clock)
        records.search_lag = self._search_lag
        records.search_flicker = self._search_flicker
        self._records[object_type.name] = records
        return records

    def add_token(
        self,
        token: str,
        *,
        scopes: Iterable[str] | None = None,
        app: str = "private-app",
        expires_in: float | None = None,
        oauth: bool = False,
    ) -> None:
        self.credentials[token] = Credential(
            token,
            app,
            None if scopes is None else frozenset(scopes),
            None if expires_in is None else self.clock.now() + expires_in,
            oauth,
        )

    def add_oauth_client(
        self,
        client_id: str = "client-1",
        client_secret: str = TEST_SECRET,
        refresh_token: str = TEST_REFRESH_TOKEN,
        *,
        expires_in: int = 1800,
        scopes: Iterable[str] | None = None,
    ) -> OAuthClient:
        granted = None if scopes is None else frozenset(scopes)
        client = OAuthClient(client_id, client_secret, refresh_token, granted, expires_in)
        self.oauth_clients.append(client)
        return client

    def add_object_type(self, name: str) -> ObjectType:
        """Define a custom object."""
        with self.lock:
            number = 3_000_000 + len(self.types.types)
            object_type = custom_type(name, number)
            self.types.add(object_type)
            self.fill(object_type, Base())
            return object_type

    @property
    def search_lag(self) -> float:
        """Seconds until search knows of a write."""
        return self._search_lag

    @search_lag.setter
    def search_lag(self, seconds: float) -> None:
        self._search_lag = seconds
        for records in self._records.values():
            records.search_lag = seconds

    @property
    def search_flicker(self) -> float:
        """Seconds for which search finds a new record, loses it, and only then keeps it.

        RudderStack's live tests wait for five hits in a row for that reason.
        """
        return self._search_flicker

    @search_flicker.setter
    def search_flicker(self, seconds: float) -> None:
        self._search_flicker = seconds
        for records in self._records.values():
            records.search_flicker = seconds

    # Properties

    def definitions(self, object_type: str) -> Definitions:
        return self.records(object_type).definitions

    def add_property(
        self,
        object_type: str,
        name: str,
        type: str = "string",  # noqa: A002 - HubSpot's word
        *,
        field_type: str = "",
        options: Iterable[str] = (),
        has_unique_value: bool = False,
        data_sensitivity: str = "non_sensitive",
        hubspot_defined: bool = False,
    ) -> None:
        with self.lock:
            self.definitions(object_type).put(
                PropertyDefinition(
                    name,
                    type,
                    field_type,
                    options=tuple(options),
                    has_unique_value=has_unique_value,
                    data_sensitivity=data_sensitivity,
                    hubspot_defined=hubspot_defined,
                    updated_ms=self.clock.now_ms(),
                    created_ms=self.clock.now_ms(),
                )
            )

    def add_stage_properties(self, object_type: str = "deals") -> None:
        """Define HubSpot's times of each stage (Professional accounts have them).

        Records that are written from then on have values.
        """
        with self.lock:
            name = self.types.resolve(object_type).name
            for pipeline in self.pipelines[name]:
                for stage in pipeline.stages:
                    for definition in stage_definitions(stage):
                        self.definitions(name).put(definition)
            self.stage_properties.add(name)

    def retype_property(
        self, object_type: str, name: str, new_type: str, *, field_type: str = ""
    ) -> None:
        with self.lock:
            at = self.clock.now_ms()
            self.definitions(object_type).retype(name, new_type, field_type=field_type, at=at)

    def archive_property(self, object_type: str, name: str) -> None:
        with self.lock:
            self.definitions(object_type).archive(name, at=self.clock.now_ms())

    # Records

    def records(self, object_type: str) -> Records:
        return self._records[self.types.resolve(object_type).name]

    def ids(self, object_type: str = "deals", *, archived: bool = False) -> list[str]:
        with self.lock:
            return [str(each) for each in self.records(object_type).ids_from(archived=archived)]

    def add_label(
        self, from_type: str, to_type: str, label: str, inverse: str | None = None
    ) -> AssociationType:
        with self.lock:
            start, end = self.types.resolve(from_type), self.types.resolve(to_type)
            return self.association_types.add_label(start, end, label, inverse)

    def live_links(self, from_type: str, from_id: int, to_type: str) -> Targets:
        """Give the links of which both ends are live; HubSpot hides the others (inferred)."""
        if not self.records(from_type).is_live(from_id):
            return {}
        is_live = self.records(to_type).is_live
        targets = self.links.of(from_type, from_id, to_type)
        return {target: types for target, types in targets.items() if is_live(target)}

    # Truth

    def truth(self, object_type: str = "deals") -> Truth:
        """Tell what is there, without HTTP."""
        with self.lock:
            return truth_of(self.records(object_type))

    def truth_at(
        self,
        moment: datetime | int,
        object_type: str = "deals",
        *,
        names: Iterable[str] | None = None,
    ) -> dict[str, TrueRecord]:
        """Tell which records were there at a moment, with the values they had, by id.

        Args:
            moment: A datetime or epoch milliseconds.
            object_type: Which records.
            names: The properties to tell; all by default.
        """
        with self.lock:
            return truth_at(self.records(object_type), milliseconds_of(moment), names)

    def true_links(self, from_type: str = "deals", to_type: str = "contacts") -> set[TrueLink]:
        with self.lock:
            start, end = self.types.resolve(from_type).name, self.types.resolve(to_type).name
            return {
                TrueLink(str(source), str(target), each.category, each.type_id, each.label)
                for source in self.records(start).ids_from()
                for target, types in self.live_links(start, source, end).items()
                for each in types
            }
