"""What people get wrong, or HubSpot withholds, is told in one sentence and hurts nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read, run
from hubspot_client.errors import MissingScopeError
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

DEALS = ["crm.objects.deals.read", "crm.objects.contacts.read", "crm.objects.companies.read"]
TENANTS = {"context": {"_tenant_id": "acme"}}


def limited(hubspot: Simulator, *scopes: str) -> dict[str, Any]:
    """The access of a token that has only these scopes."""
    hubspot.portals[0].add_token("pat-na1-limited", scopes=[*scopes, "crm.objects.owners.read"])
    return {"access_token": "pat-na1-limited"}


def test_an_archived_pipeline_can_be_read(hubspot: Simulator, tmp_path: Path) -> None:
    portal = hubspot.portals[0]
    kept, gone = portal.pipelines["deals"]
    portal.pipelines["deals"] = [kept, replace(gone, archived=True)]
    output = run(tmp_path, config_for(hubspot, pipeline=gone.id))
    assert output.code == 0
    assert f"The pipeline '{gone.id}' ({gone.label}) is archived" in output.log
    live = portal.truth("deals").live.values()
    assert len(output.ids()) == sum(d.properties["pipeline"] == gone.id for d in live) > 0
    with pytest.raises(ConfigValidationError) as raised:
        read(config_for(hubspot, pipeline="none"))
    assert "`pipeline` is 'none', but the account has: default" in raised.value.errors[0]


def test_an_archived_stage_can_be_read(hubspot: Simulator) -> None:
    portal = hubspot.portals[0]
    kept, gone = portal.pipelines["deals"]
    portal.pipelines["deals"] = [kept, replace(gone, archived=True)]
    output = read(config_for(hubspot, deal_stage=gone.stages[0].id))
    live = portal.truth("deals").live.values()
    wanted = sum(d.properties["dealstage"] == gone.stages[0].id for d in live)
    assert len(output.ids()) == wanted > 0


@pytest.mark.parametrize("sensitivity", ["sensitive", "highly_sensitive"])
def test_a_sensitive_property_needs_its_scope(hubspot: Simulator, sensitivity: str) -> None:
    portal = hubspot.portals[0]
    portal.add_property("deals", "secret_code", data_sensitivity=sensitivity)
    portal.change("deals", portal.ids()[0], {"secret_code": "x1"})
    config = config_for(hubspot, properties=["dealname", "secret_code"])
    records = {r["id"]: r for r in read(config).records()}
    assert records[portal.ids()[0]]["custom_properties"]["secret_code"] == "x1"
    scope = rf"secret_code.*crm\.objects\.deals\.{sensitivity}\.read\.v2"
    with pytest.raises(MissingScopeError, match=scope):
        read({**config, **limited(hubspot, *DEALS)})


def test_a_typing_error_is_none_of_a_scope(hubspot: Simulator) -> None:
    config = config_for(
        hubspot, associations=["contcts"], on_missing_scope="skip", **limited(hubspot, *DEALS)
    )
    with pytest.raises(ConfigValidationError) as raised:
        read(config)
    assert "Did you mean 'contacts'?" in raised.value.errors[0]


def test_an_object_type_of_the_accounts_own_is_skipped_without_its_scope(
    hubspot: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"objects": ["deals", "boats"], "on_missing_scope": "skip"}
    output = read(config_for(hubspot, **settings, **limited(hubspot, *DEALS)))
    assert len(output.ids()) == 250
    assert "Skipped: The token may not read custom object schemas" in caplog.text


def test_a_run_of_which_nothing_is_left_ends_in_a_sentence(
    hubspot: Simulator, tmp_path: Path
) -> None:
    settings = {"objects": ["tickets", "line_items"], "on_missing_scope": "skip"}
    config = config_for(hubspot, **settings, **limited(hubspot, *DEALS))
    output = run(tmp_path, config)
    assert output.code == 1
    assert output.messages == []
    (line,) = [each for each in output.log.splitlines() if "ERROR" in each]
    assert "tickets" in line
    assert "line_items" in line


@pytest.mark.parametrize(
    "state",
    [
        {"bookmarks": {"deals": "text"}},
        {"bookmarks": []},
        {"deals": 1},
        {"bookmarks": {"deals": {"partitions": [{**TENANTS, "selection": []}]}}},
        {"bookmarks": {"deals": {"partitions": [{**TENANTS, "progress": "text"}]}}},
        {"bookmarks": {"deals": {"partitions": [{**TENANTS, "recent": 5}]}}},
    ],
)
def test_an_odd_state_ends_in_a_sentence_or_is_left_alone(
    hubspot: Simulator, tmp_path: Path, state: dict[str, Any]
) -> None:
    output = run(tmp_path, config_for(hubspot), state=state)
    assert "Traceback" not in output.log
    if output.code:
        (line,) = [each for each in output.log.splitlines() if "ERROR" in each]
        assert "bookmarks" in line
        assert output.messages == []
    else:
        assert len(output.ids()) == 250


OTHERS = {"bookmarks": {"deals": {"replication_key_value": "2026-01-01T00:00:00Z"}}}


def test_a_state_without_a_bookmark_of_the_tenant_is_told(
    hubspot: Simulator, tmp_path: Path
) -> None:
    told = "The state has no bookmark of deals for the tenant acme: everything is read."
    assert told in run(tmp_path, config_for(hubspot), state=OTHERS).log
    mirroring = Mirroring(hubspot)
    mirroring.run()
    assert told not in run(tmp_path, config_for(hubspot), state=mirroring.mirror.state).log
    assert told not in run(tmp_path, config_for(hubspot)).log
