"""What an account has: its object types, its properties, and the streams that follow from them."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import HubSpotError, MissingScopeError
from hubspot_client.object_types import STANDARD_TYPES, ObjectType, custom_type
from hubspot_client.properties import Definition, Definitions
from singer_sdk.exceptions import ConfigValidationError

from tap_hubspot_deals.reading.objects import MERGED_IDS
from tap_hubspot_deals.settings import ALL
from tap_hubspot_deals.streams.associations import AssociationsStream
from tap_hubspot_deals.streams.metadata import (
    DetailsStream,
    OwnersStream,
    Pipeline,
    PipelinesStream,
    PropertiesStream,
    read_pipelines,
)
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.property_history import PropertyHistoryStream
from tap_hubspot_deals.streams.stage_history import StagesStream

if TYPE_CHECKING:
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.base import Account, TenantStream


SENSITIVITIES = ("sensitive", "highly_sensitive")
"""The kinds of properties that HubSpot's list of definitions leaves out unless asked for them."""


class _Schema(msgspec.Struct, rename="camel"):
    name: str
    object_type_id: str
    fully_qualified_name: str = ""

    def answers_to(self, name: str) -> bool:
        """Whether people may call the type so."""
        return name in {self.name, self.object_type_id, self.fully_qualified_name, f"p_{self.name}"}


class _Schemas(msgspec.Struct):
    results: list[_Schema]


class Discovery:
    """Finds an account's streams.

    Args:
        account: The account that is read.
        wanted: The object types to read.
    """

    def __init__(self, account: Account, wanted: list[Settings]) -> None:
        self._account = account
        self._wanted = wanted
        self._client = account.client
        self._faults: list[str] = []
        self._forbidden: list[str] = []
        self._schemas: list[_Schema] | None = None
        self._asked_schemas = False

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
                self._forbidden.append(str(exc))
        if self._faults:
            raise ConfigValidationError("Config validation failed", errors=self._faults)
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
        return self._account.tap.selects(stream) or self._account.tap.selects(from_type)

    def _refuse_forbidden(self, *, nothing_left: bool) -> None:
        if not self._forbidden:
            return
        if self._account.settings.skip_missing_scopes and not nothing_left:
            for sentence in self._forbidden:
                self._account.tap.logger.warning("Skipped: %s", sentence)
            return
        raise MissingScopeError(" ".join(self._forbidden), status=403)

    def _streams_of(self, one: Settings, *, alone: bool) -> list[TenantStream]:
        object_type = self._resolve(one.name, "objects")
        if object_type is None:
            return []
        definitions = self._definitions(object_type)
        if not alone:
            self._try_to_read(object_type)
        definitions += self._sensitive(one, object_type, definitions)
        self._check_names("properties", one.properties or (), one, object_type, definitions)
        self._check_pipeline(one, object_type)
        names = one.associations
        linked = [t for n in names if (t := self._resolve(n, "associations"))]
        linked = [
            t
            for t in linked
            if not self._links_selected(one.name, t.name) or self._may_read_links(object_type, t)
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
            self._check_names("history", one.history, one, object_type, definitions)
            # When records were merged stands nowhere else.
            chosen = [d for d in definitions if d.name in {*one.history, MERGED_IDS}]
        found: list[TenantStream] = [PropertyHistoryStream(self._account, object_type, chosen)]
        if object_type.pipeline:
            found.append(
                StagesStream(self._account, object_type, object_type.pipeline, definitions)
            )
        return found

    def _association_streams(self, parents: list[ObjectStream]) -> list[AssociationsStream]:
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

    def _resolve(self, name: str, setting: str) -> ObjectType | None:
        """The object type of a name; an unknown one becomes a fault."""
        if name in STANDARD_TYPES:
            return STANDARD_TYPES[name]
        schemas = self._custom_schemas()
        if schemas is None:
            # Who may not read them is told so, and not that the name is wrong - unless it looks so.
            if hint := _hint(name, list(STANDARD_TYPES)):
                self._faults.append(
                    f"`{setting}` names '{name}', no object type that every account has.{hint} (An "
                    "object type of the account's own needs crm.schemas.custom.read, or its id.)"
                )
            return None
        for schema in schemas:
            if schema.answers_to(name):
                return custom_type(name, schema.object_type_id)
        known = [*STANDARD_TYPES, *(s.name for s in schemas)]
        hint = _hint(name, known)
        self._faults.append(f"`{setting}` names '{name}', no object type of HubSpot.{hint}")
        return None

    def _custom_schemas(self) -> list[_Schema] | None:
        """The account's own object types; None if the token may not read them."""
        if not self._asked_schemas:
            self._asked_schemas = True
            try:
                self._schemas = self._client.get(
                    self._client.paths.schemas(),
                    family="schemas",
                    what="custom object schemas",
                    shape=_Schemas,
                ).results
            except MissingScopeError as exc:
                self._forbidden.append(str(exc))
        return self._schemas

    def _definitions(self, object_type: ObjectType, sensitivity: str = "") -> list[Definition]:
        return self._client.get(
            self._client.paths.properties(object_type.in_paths),
            family="properties",
            what=f"property definitions of {object_type.name}",
            shape=Definitions,
            **({"dataSensitivity": sensitivity} if sensitivity else {}),
        ).results

    def _sensitive(
        self, one: Settings, object_type: ObjectType, known: list[Definition]
    ) -> list[Definition]:
        """The sensitive properties that the settings name: HubSpot gives them by a scope alone.

        Raises:
            MissingScopeError: If the token has not the scope of one of them.
        """
        named = {*(one.properties or ()), *one.history} - {ALL} - {d.name for d in known}
        found: list[Definition] = []
        for sensitivity in SENSITIVITIES if named else ():
            found += [d for d in self._definitions(object_type, sensitivity) if d.name in named]
        for definition in found:
            self._try_to_read(object_type, definition.name)
        return found

    def _try_to_read(self, object_type: ObjectType, name: str = "hs_object_id") -> None:
        """Ask for one record: a missing scope is to be known before anything is written."""
        self._client.get(
            self._client.paths.objects(object_type.in_paths),
            family="list",
            what=f"{object_type.name}{'' if name == 'hs_object_id' else f' ({name})'}",
            shape=dict[str, Any],
            limit=1,
            properties=name,
        )

    def _may_read_links(self, from_type: ObjectType, to_type: ObjectType) -> bool:
        """Whether the token may read these links: HubSpot asks for the scopes of both sides.

        One record is asked about, whether it exists or not: only a refusal means anything here.
        """
        try:
            self._client.post(
                self._client.paths.associations(from_type.in_paths, to_type.in_paths),
                {"inputs": [{"id": "1"}]},
                family="associations",
                what=f"associations from {from_type.name} to {to_type.name}",
                shape=dict[str, Any],
            )
        except MissingScopeError as exc:
            self._forbidden.append(str(exc))
            return False
        except HubSpotError as exc:
            if exc.status not in {400, 404}:
                raise
        return True

    def _check_names(
        self,
        setting: str,
        names: tuple[str, ...],
        one: Settings,
        object_type: ObjectType,
        definitions: list[Definition],
    ) -> None:
        known = [d.name for d in definitions]
        unknown = [name for name in names if name not in known]
        had = set(self._named_before(one.name))
        for name in unknown:
            what = f"`{setting}` names '{name}', which no {object_type.singular} has"
            if name in had:
                self._account.tap.logger.warning("%s any more; reading the others.", what)
            else:
                self._faults.append(f"{what}.{_hint(name, known)}")

    def _named_before(self, stream: str) -> list[str]:
        """The properties that the settings named at the last run, when all of them were there."""
        tenant = {"_tenant_id": self._account.identity.tenant_id}
        try:
            partitions = self._account.tap.given_state["bookmarks"][stream]["partitions"]
            return [n for p in partitions if p["context"] == tenant for n in p.get("named", ())]
        except (KeyError, TypeError, AttributeError):  # of another shape, or not there
            return []

    def _check_pipeline(self, one: Settings, object_type: ObjectType) -> None:
        pipeline, stage = one.pipeline, one.stage
        if not pipeline and not stage:
            return
        if not object_type.pipeline:
            self._faults.append(f"`pipeline` does not apply to {object_type.name}.")
            return
        pipelines = read_pipelines(self._client, object_type)
        stages = {s.id for p in pipelines for s in p.stages}
        if (pipeline or None) not in {None, *(p.id for p in pipelines)} or (
            (stage or None) not in {None, *stages}
        ):
            pipelines += self._archived_pipelines(object_type, pipeline, stage)
        if pipeline and pipeline not in {p.id for p in pipelines}:
            known = ", ".join(sorted(p.id for p in pipelines))
            self._faults.append(f"`pipeline` is '{pipeline}', but the account has: {known}.")
        elif stage and stage not in {
            s.id for p in pipelines if pipeline in {None, p.id} for s in p.stages
        }:
            self._faults.append(f"`deal_stage` is '{stage}', which no such pipeline has.")

    def _archived_pipelines(
        self, object_type: ObjectType, pipeline: str | None, stage: str | None
    ) -> list[Pipeline]:
        """Those that the filters mean: their records are still there."""
        found = [
            p
            for p in read_pipelines(self._client, object_type, archived=True)
            if p.id == pipeline or stage in {s.id for s in p.stages}
        ]
        for each in found:
            self._account.tap.logger.warning(
                "The pipeline '%s' (%s) is archived; its %s are read all the same.",
                each.id,
                each.label,
                object_type.name,
            )
        return found


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


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
