"""Bad input ends in one sentence that names the setting, before anything is written."""

from __future__ import annotations

import io
import socket
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import config_for, discover, read, run
from hubspot_client.errors import AuthenticationError, HubSpotError, MissingScopeError
from singer_sdk.exceptions import ConfigValidationError
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

OFFLINE: dict[str, Any] = {
    "access_token": "pat-na1-x",
    "tenant_id": "acme",
    "base_url": "http://127.0.0.1:9",
}


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
    return port


def faults(config: dict[str, Any]) -> list[str]:
    """What the tap says about settings, without asking HubSpot."""
    with pytest.raises(ConfigValidationError) as raised, redirect_stdout(io.StringIO()) as out:
        TapHubspotDeals(config=config)
    assert out.getvalue() == ""
    return list(raised.value.errors)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"tenant_id": None}, ["tenant_id"]),
        ({"tenant_id": ""}, ["tenant_id"]),
        ({"tenant_id": "  "}, ["tenant_id"]),
        ({"tenant_id": "a\0b"}, ["tenant_id"]),
        ({"tenant_id": 7}, ["tenant_id"]),
        ({"access_token": None}, ["access_token", "client_id"]),
        ({"access_token": "pat na1"}, ["access_token", "space"]),
        ({"access_token": "pat-na1\n"}, ["access_token", "line break"]),
        ({"access_token": "pat-ñ€"}, ["access_token", "characters"]),
        ({"access_token": "pat-\x07"}, ["access_token", "characters"]),
        ({"access_token": 12345}, ["access_token"]),
        ({"access_token": None, "client_id": "x"}, ["client_secret"]),
        ({"access_token": None, "client_id": "x", "client_secret": "y"}, ["refresh_token"]),
        ({"start_date": "yesterday"}, ["start_date", "'yesterday'"]),
        ({"start_date": "2025-02-30"}, ["start_date"]),
        ({"end_date": "31.01.2025"}, ["end_date"]),
        ({"start_date": 20250101}, ["start_date"]),
        ({"start_date": "2025-02-01", "end_date": "2025-01-01"}, ["end_date", "start_date"]),
        ({"page_size": 0}, ["page_size", "1 to 100"]),
        ({"page_size": 101}, ["page_size"]),
        ({"page_size": "many"}, ["page_size"]),
        ({"request_delay_ms": -1}, ["request_delay_ms"]),
        ({"requests_per_10_seconds": 0}, ["requests_per_10_seconds"]),
        ({"lookback_minutes": -1}, ["lookback_minutes"]),
        ({"association_refresh_hours": -1}, ["association_refresh_hours"]),
        ({"properties": ["a,b"]}, ["properties", "'a,b'"]),
        ({"properties": [""]}, ["properties"]),
        ({"properties": "dealname"}, ["properties"]),
        ({"associations": ["con tacts"]}, ["associations"]),
        ({"associations": [None]}, ["associations"]),
        ({"api_version": "v2"}, ["api_version", "'v2'"]),
        ({"api_version": "2026-05"}, ["api_version"]),
        ({"base_url": "api.hubapi.com"}, ["base_url"]),
        ({"base_url": "ftp://api.hubapi.com"}, ["base_url"]),
        ({"base_url": "http://[::1"}, ["base_url"]),
        ({"base_url": "http://host:port"}, ["base_url"]),
        ({"base_url": "https://user:secret@api.hubapi.com"}, ["base_url"]),
        ({"archived": "perhaps"}, ["archived"]),
        (
            {"flatten_custom_properties": True, "nest_properties": True},
            ["flatten_custom_properties", "nest_properties"],
        ),
    ],
)
def test_a_bad_setting_is_named(changes: dict[str, Any], names: list[str]) -> None:
    config = {k: v for k, v in {**OFFLINE, **changes}.items() if v is not None}
    found = faults(config)
    assert all(any(name in fault for fault in found) for name in names), found
    assert "secret" not in " ".join(found).replace("client_secret", "")


def test_several_faults_are_told_at_once() -> None:
    found = faults({"base_url": "x", "page_size": 0, "start_date": "y"})
    for name in ("tenant_id", "access_token", "base_url", "page_size", "start_date"):
        assert any(name in fault for fault in found), found


@pytest.mark.parametrize("end", ["9999-12-31", "2025-01-31", "1960-01-01", "0001-01-01"])
def test_any_day_can_be_the_end(hubspot: Simulator, end: str) -> None:
    output = read(config_for(hubspot, end_date=end))
    assert len(output.ids()) == (250 if end == "9999-12-31" else len(output.ids()))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"properties": ["dealnme"]},
            "`properties` names 'dealnme', which no deal has. Did you mean 'dealname'?",
        ),
        (
            {"associations": ["contcts"]},
            "`associations` names 'contcts', no object type of HubSpot. Did you mean 'contacts'?",
        ),
        ({"pipeline": "nope"}, "`pipeline` is 'nope', but the account has: "),
        ({"deal_stage": "nope"}, "`deal_stage` is 'nope', which no such pipeline has."),
        (
            {"pipeline": "default", "deal_stage": "nope"},
            "`deal_stage` is 'nope', which no such pipeline has.",
        ),
    ],
)
def test_what_hubspot_does_not_know_is_named(
    hubspot: Simulator, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        read(config_for(hubspot, **settings))
    assert [e[: len(sentence)] for e in raised.value.errors] == [sentence]


def test_a_wrong_token_is_named(hubspot: Simulator) -> None:
    with pytest.raises(AuthenticationError, match="`access_token`") as raised:
        read(config_for(hubspot, access_token="pat-na1-wrong"))
    assert "pat-na1-wrong" not in str(raised.value)


def test_a_missing_scope_is_named_with_its_stream(hubspot: Simulator) -> None:
    portal = hubspot.portals[0]
    portal.add_token("pat-narrow", scopes=["crm.objects.deals.read"])
    catalog = discover(config_for(hubspot, access_token="pat-narrow", associations=[]))
    assert catalog
    with pytest.raises(MissingScopeError, match=r"owners.*crm\.objects\.owners\.read"):
        read(config_for(hubspot, access_token="pat-narrow", associations=[]))
    with pytest.raises(MissingScopeError, match=r"crm\.objects\.contacts\.read") as raised:
        read(config_for(hubspot, access_token="pat-narrow", associations=["contacts"]))
    assert "associations from deals to contacts" in str(raised.value)
    assert "`associations`" in str(raised.value)
    portal.add_token("pat-none", scopes=["tickets"])
    with pytest.raises(MissingScopeError, match=r"deals.*crm\.(objects|schemas)\.deals\.read"):
        read(config_for(hubspot, access_token="pat-none"))


def test_a_version_that_hubspot_does_not_serve_is_named(hubspot: Simulator) -> None:
    with pytest.raises(HubSpotError, match="`api_version`"):
        read(config_for(hubspot, api_version="2031-03"))


def test_a_redirect_is_not_followed_with_the_token(hubspot: Simulator) -> None:
    hubspot.fail("status", status=301)
    with pytest.raises(HubSpotError, match="`base_url`"):
        read(config_for(hubspot))


def test_a_redirect_is_not_followed_with_the_secret(hubspot: Simulator) -> None:
    hubspot.portals[0].add_oauth_client()
    hubspot.fail("status", status=307, endpoint="oauth")
    config = config_for(
        hubspot, client_id="client-1", client_secret="secret-1", refresh_token="refresh-1"
    )
    del config["access_token"]
    with pytest.raises(AuthenticationError, match="gives no token"):
        read(config)
    assert len(hubspot.requests) == 1


def test_a_wrong_path_in_the_address_is_named(hubspot: Simulator) -> None:
    config = config_for(hubspot) | {"base_url": f"{hubspot.url}/nothing/here"}
    with pytest.raises(HubSpotError, match="`base_url`"):
        read(config)


def test_an_address_that_answers_web_pages_is_named_soon(hubspot: Simulator) -> None:
    hubspot.fail("html", status=200)
    started = time.monotonic()
    with pytest.raises(HubSpotError, match="`base_url`"):
        read(config_for(hubspot))
    assert time.monotonic() - started < 20
    assert len(hubspot.requests) == 3


@pytest.mark.parametrize(
    ("changes", "arguments", "word"),
    [
        ({"tenant_id": None}, (), "tenant_id"),
        ({"start_date": "soon"}, (), "start_date"),
        ({"access_token": "pat-na1-wrong"}, (), "access_token"),
        ({"properties": ["nope"]}, (), "properties"),
        ({"properties": ["nope"]}, ("--discover",), "properties"),
        ({"access_token": "pat-na1-wrong"}, ("--test",), "access_token"),
        ({"base_url": f"http://127.0.0.1:{free_port()}"}, (), "base_url"),
        ({"base_url": "http://no-such-host.invalid"}, (), "base_url"),
    ],
)
def test_the_process_ends_with_1_and_a_sentence(
    hubspot: Simulator,
    tmp_path: Path,
    changes: dict[str, Any],
    arguments: tuple[str, ...],
    word: str,
) -> None:
    config = {k: v for k, v in (config_for(hubspot) | changes).items() if v is not None}
    output = run(tmp_path, config, *arguments, timeout=60)
    assert output.code == 1
    assert output.messages == []
    assert f"`{word}`" in output.log
    assert "Traceback" not in output.log
    assert "pat-na1" not in output.log


def test_settings_come_from_the_environment(hubspot: Simulator, tmp_path: Path) -> None:
    environment = {
        "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": hubspot.portals[0].token,
        "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
        "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
        "TAP_HUBSPOT_DEALS_PAGE_SIZE": "50",
        "TAP_HUBSPOT_DEALS_ARCHIVED": "true",
        "TAP_HUBSPOT_DEALS_ASSOCIATIONS": '["contacts"]',
    }
    output = run(tmp_path, {}, "--config", "ENV", environment=environment)
    assert output.code == 0, output.log
    assert len(output.ids()) == 250
    assert "limit=50&" in hubspot.requests.all(endpoint="list")[0].query


def test_the_connection_test_reads_a_record_of_each_stream(
    hubspot: Simulator, tmp_path: Path
) -> None:
    output = run(tmp_path, config_for(hubspot), "--test")
    assert output.code == 0, output.log
    assert len(output.ids()) == 1
