"""One verification of one tenant's copy: every type, the repair of what differs, the proof."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import errors
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.tap import TapHubspotDeals

from hubspot_verify import proofs
from hubspot_verify.comparing import Comparison
from hubspot_verify.errors import RepairError, SettingsError, UnfinishedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection
    from tap_hubspot_deals.streams.survey import Survey

    from hubspot_verify.findings import Findings
    from hubspot_verify.inputs import Inputs

LOGGER = logging.getLogger("hubspot-verify")
TARGET = "target-deals-postgres"

CHANGING = ("stream_maps", "flattening_enabled")
"""Settings of the tap with which tables do not mirror what it reads."""


class _Part(NamedTuple):
    stream: ObjectStream
    survey: Survey
    comparison: Comparison


class Verification:
    """Compares a tenant's copy with HubSpot.

    Args:
        inputs: The settings and the state.
        db: A session of the target's database that commits each statement.
    """

    def __init__(self, inputs: Inputs, db: connection) -> None:
        if changing := [name for name in CHANGING if inputs.tap.get(name)]:
            raise SettingsError(
                f"`{changing[0]}` of the tap is set: the tables mirror something else then."
            )
        scan = inputs.tap.get("scan_id")
        if bool(scan) != bool(inputs.since):
            raise SettingsError(
                "`scan_id` of the tap and --since belong together: of a scan no state tells what "
                "it should have, so its beginning has to be named."
            )
        self._scan = {"_scan_id": str(scan)} if scan else {}
        self._inputs = inputs
        self._db = db
        self._tap = TapHubspotDeals(
            config=inputs.tap, catalog=inputs.catalog, state=inputs.state, validate_config=True
        )
        self._tenant = self._tap.account.identity.tenant_id
        self._cur = db.cursor()
        self._cur.execute(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; "
            "SELECT set_config('app.tenant_id', %s, false)",
            (self._tenant,),
        )

    def run(self, *, repair: bool) -> list[Findings]:
        """Compare all types, and write the proof; a scan, which nothing changes any more, has none.

        Args:
            repair: Whether what differs is read again and loaded.

        Raises:
            SettingsError: If a scan is to be repaired.
            UnfinishedError: If the state has no finished run of these settings.
            TableError: If a table is not there.
            HubSpotError: If HubSpot does not give what is asked.
            RepairError: If the target does not load what was read again.
        """
        if repair and self._scan:
            raise SettingsError("A scan is what it was when it was read: it is not repaired.")
        with ExitStack() as stack:
            parts = [*self._parts(stack)]
            found: list[Findings] = []
            for part in parts:
                found += part.comparison.run(self._tap.account.client)
            if repair and any(each.total for each in found):
                self._repair([p for p in parts if p.comparison.faulty or p.comparison.no_ids])
            if not self._scan:
                self._write(found)
        return found

    def close(self) -> None:
        """Let go of HubSpot."""
        self._tap.account.client.close()

    def _parts(self, stack: ExitStack) -> Iterator[_Part]:
        streams = [s for s in self._tap.streams.values() if isinstance(s, ObjectStream)]
        chosen = [stream for stream in streams if stream.selected]
        if not chosen:
            raise SettingsError("No object type is selected: there is nothing to compare.")
        for stream in chosen:
            survey = stack.enter_context(stream.survey(self._inputs.since))
            if survey.finished_at is None and not self._scan:
                raise UnfinishedError(
                    f"The state has no finished run of {stream.name} with these settings: "
                    "run tap and target first. (A sample, or a part by `association_ids`, is none.)"
                )
            yield _Part(stream, survey, self._compared(stream, survey))

    def _compared(self, stream: ObjectStream, survey: Survey) -> Comparison:
        return Comparison(
            survey,
            stream.name,
            self._cur,
            self._inputs.schema,
            {"_tenant_id": self._tenant, **self._scan},
            archived=stream.settings.archived,
        )

    def _repair(self, parts: list[_Part]) -> None:
        """Read what differs again and load it; what is not there becomes gone."""
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "target.json")
            config.touch(mode=0o600)
            config.write_text(json.dumps(self._inputs.target), encoding="utf-8")
            command = [str(Path(sys.executable).with_name(TARGET)), "--config", str(config)]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            ) as target:
                assert target.stdin is not None  # noqa: S101 - for the type checker
                with (
                    contextlib.suppress(BrokenPipeError),
                    io.TextIOWrapper(target.stdin) as pipe,
                    contextlib.redirect_stdout(pipe),
                ):
                    for stream, survey, comparison in parts:
                        stream.reload(survey, [*comparison.faulty], comparison.no_ids)
                    self._tap.writer.flush()
        if target.returncode:
            raise RepairError(f"{TARGET} ended with {target.returncode}; nothing else was changed.")
        for stream, survey, comparison in parts:
            comparison.note_repaired(self._compared(stream, survey))

    def _write(self, found: list[Findings]) -> None:
        try:
            proofs.write(self._cur, self._inputs.schema, self._tenant, found, found[0].name)
        except errors.InsufficientPrivilege:
            LOGGER.warning(
                "This role may not write %s.%s: the proof stands in this log alone.",
                self._inputs.schema,
                proofs.PROOFS,
            )
