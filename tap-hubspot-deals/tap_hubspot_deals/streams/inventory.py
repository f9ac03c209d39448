"""What an account has, and lets the token read, of what the settings name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import HubSpotError, MissingScopeError
from hubspot_client.object_types import STANDARD_TYPES, ObjectType, custom_type
from hubspot_client.properties import Definition, Definitions

from tap_hubspot_deals.settings import ALL
from tap_hubspot_deals.streams.metadata import Pipeline, read_pipelines

if TYPE_CHECKING:
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.base import Account

SENSITIVITIES = ("sensitive", "highly_sensitive")
"""The kinds of properties that HubSpot's list of definitions leaves out unless asked for them."""

TYPING_ERROR = 0.75
"""How like a known name one has to be to be taken for it: "contcts", but not "boats"."""


class _Schema(msgspec.Struct, rename="camel"):
    name: str
    object_type_id: str
    fully_qualified_name: str = ""

    def answers_to(self, name: str) -> bool:
        """Whether people may call the type so."""
        return name in {self.name, self.object_type_id, self.fully_qualified_name, f"p_{self.name}"}


class _Schemas(msgspec.Struct):
    results: list[_Schema]


class Inventory:
    """Looks up in an account what the settings name.

    Args:
        account: The account that is read.

    Attributes:
        faults: A sentence for each name that HubSpot does not know.
        forbidden: A sentence for each scope that the token has not.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._client = account.client
        self.faults: list[str] = []
        self.forbidden: list[str] = []
        self._schemas: list[_Schema] | None = None
        self._asked_schemas = False

    def object_type(self, name: str, setting: str) -> ObjectType | None:
        """The object type of a name; an unknown one becomes a fault."""
        if name in STANDARD_TYPES:
            return STANDARD_TYPES[name]
        schemas = self._custom_schemas()
        if schemas is None:
            # Who may not read them is told so, and not that the name is wrong - unless it looks so.
            if hint := _hint(name, list(STANDARD_TYPES), likeness=TYPING_ERROR):
                self.faults.append(
                    f"`{setting}` names '{name}', no object type that every account has.{hint} (An "
                    "object type of the account's own needs crm.schemas.custom.read, or its id.)"
                )
            return None
        for schema in schemas:
            if schema.answers_to(name):
                return custom_type(name, schema.object_type_id)
        known = [*STANDARD_TYPES, *(s.name for s in schemas)]
        hint = _hint(name, known)
        self.faults.append(f"`{setting}` names '{name}', no object type of HubSpot.{hint}")
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
                self.forbidden.append(str(exc))
        return self._schemas

    def definitions(self, object_type: ObjectType, sensitivity: str = "") -> list[Definition]:
        """The definitions of a type's properties: the usual ones, or those of a sensitivity."""
        return self._client.get(
            self._client.paths.properties(object_type.in_paths),
            family="properties",
            what=f"property definitions of {object_type.name}",
            shape=Definitions,
            **({"dataSensitivity": sensitivity} if sensitivity else {}),
        ).results

    def sensitive(
        self, one: Settings, object_type: ObjectType, known: list[Definition]
    ) -> list[Definition]:
        """The sensitive properties that the settings name: HubSpot gives them by a scope alone.

        Raises:
            MissingScopeError: If the token has not the scope of one of them.
        """
        named = {*(one.properties or ()), *one.history} - {ALL} - {d.name for d in known}
        found: list[Definition] = []
        for sensitivity in SENSITIVITIES if named else ():
            found += [d for d in self.definitions(object_type, sensitivity) if d.name in named]
        for definition in found:
            self.try_to_read(object_type, definition.name)
        return found

    def try_to_read(self, object_type: ObjectType, name: str = "hs_object_id") -> None:
        """Ask for one record: a missing scope is to be known before anything is written."""
        self._client.get(
            self._client.paths.objects(object_type.in_paths),
            family="list",
            what=f"{object_type.name}{'' if name == 'hs_object_id' else f' ({name})'}",
            shape=dict[str, Any],
            limit=1,
            properties=name,
        )

    def may_read_links(self, from_type: ObjectType, to_type: ObjectType) -> bool:
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
            self.forbidden.append(str(exc))
            return False
        except HubSpotError as exc:
            if exc.status not in {400, 404}:
                raise
        return True

    def check_names(
        self,
        setting: str,
        names: tuple[str, ...],
        one: Settings,
        object_type: ObjectType,
        definitions: list[Definition],
    ) -> None:
        """Note a fault for each property that is named and not there, nor was at the last run."""
        known = [d.name for d in definitions]
        unknown = [name for name in names if name not in known]
        had = set(self._named_before(one.name))
        for name in unknown:
            what = f"`{setting}` names '{name}', which no {object_type.singular} has"
            if name in had:
                self._account.tap.logger.warning("%s any more; reading the others.", what)
            else:
                self.faults.append(f"{what}.{_hint(name, known)}")

    def _named_before(self, stream: str) -> list[str]:
        """The properties that the settings named at the last run, when all of them were there."""
        tenant = {"_tenant_id": self._account.identity.tenant_id}
        try:
            partitions = self._account.tap.given_state["bookmarks"][stream]["partitions"]
            return [n for p in partitions if p["context"] == tenant for n in p.get("named", ())]
        except (KeyError, TypeError, AttributeError):  # of another shape, or not there
            return []

    def check_pipeline(self, one: Settings, object_type: ObjectType) -> None:
        """Note a fault where the pipeline or the stage that is filtered by is not there."""
        pipeline, stage = one.pipeline, one.stage
        if not pipeline and not stage:
            return
        if not object_type.pipeline:
            self.faults.append(f"`pipeline` does not apply to {object_type.name}.")
            return
        pipelines = read_pipelines(self._client, object_type)
        stages = {s.id for p in pipelines for s in p.stages}
        if (pipeline or None) not in {None, *(p.id for p in pipelines)} or (
            (stage or None) not in {None, *stages}
        ):
            pipelines += self._archived_pipelines(object_type, pipeline, stage)
        if pipeline and pipeline not in {p.id for p in pipelines}:
            known = ", ".join(sorted(p.id for p in pipelines))
            self.faults.append(f"`pipeline` is '{pipeline}', but the account has: {known}.")
        elif stage and stage not in {
            s.id for p in pipelines if pipeline in {None, p.id} for s in p.stages
        }:
            self.faults.append(f"`deal_stage` is '{stage}', which no such pipeline has.")

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


def _hint(name: str, known: list[str], likeness: float = 0.6) -> str:
    close = get_close_matches(name, known, n=1, cutoff=likeness)
    return f" Did you mean '{close[0]}'?" if close else ""
