"""HubSpot in trouble: waited for, told, and never a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read, run
from hubspot_client import authentication, retries
from hubspot_client.errors import (
    AuthenticationError,
    HubSpotError,
    StopCleanlyError,
    TransientError,
)
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[..., Simulator]


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RATE_LIMIT_WAITS", {"TEN_SECONDLY_ROLLING": 0.3, "SECONDLY": 0.2})
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(retries, "LOCK_WAIT", 0.1)
    monkeypatch.setattr(authentication, "TOO_MANY", 0.2)


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize(
    "endpoint",
    [
        "list",
        "associations",
        pytest.param("search", marks=pytest.mark.heavy),
        pytest.param("batch_read", marks=pytest.mark.heavy),
        pytest.param("owners", marks=pytest.mark.heavy),
    ],
)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 423}),
        ("status", {"status": 503, "retry_after": 0.1}),
        ("html", {"status": 502}),
        ("html", {"status": 200}),
        ("html", {"status": 429}),
        ("truncated", {}),
        ("cut", {}),
        ("reset", {}),
        ("ten_secondly", {}),
        ("ten_secondly", {"retry_after": 0.1}),
        ("secondly", {}),
        ("secondly", {"retry_after": 0.1}),
    ],
)
def test_what_passes_is_waited_for(
    hubspot: Simulator, kind: Any, options: dict[str, Any], endpoint: str
) -> None:
    mirroring = Mirroring(hubspot)
    fault = hubspot.fail(kind, endpoint=endpoint, times=2, **options)
    mirroring.run(page_size=30)
    if endpoint == "batch_read":
        mirroring.portal.change("deals", mirroring.portal.ids()[0], {"amount": "1"})
        mirroring.run(page_size=30)
    assert fault.struck == 2
    assert mirroring.differences() == []


@pytest.mark.usefixtures("_short_waits")
def test_a_storm_of_faults_loses_nothing_and_repeats_nothing(serve: Serve) -> None:
    hubspot = serve(Portal.generate(2500, archived=300, custom_properties=2))
    mirroring = Mirroring(hubspot)
    for seed, kind in enumerate(("reset", "truncated", "cut", "ten_secondly", "status")):
        hubspot.fail(kind, probability=0.06, seed=seed)  # type: ignore[arg-type]
    output = mirroring.run(archived=True)
    assert mirroring.differences(all_archived=True) == []
    assert len(output.ids()) == len(set(output.ids()))


def test_other_apps_may_take_the_whole_search_budget_for_long(
    hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "RATE_LIMIT_WAITS", {"SECONDLY": 0.05})
    fault = hubspot.fail("secondly", endpoint="search", times=25)
    assert len(read(config_for(hubspot, start_date="2000-01-01")).ids()) == 250
    assert fault.struck == 25


@pytest.mark.parametrize("retry_after", [None, 3600])
def test_the_daily_limit_ends_the_run_with_its_state(
    serve: Serve, tmp_path: Path, retry_after: float | None
) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=0))
    hubspot.fail("daily", endpoint="list", nth=range(120, 999), retry_after=retry_after)
    output = run(tmp_path, config_for(hubspot, page_size=20))
    assert output.code == 1
    assert "daily limit" in output.log
    assert "Run again after midnight" in output.log
    assert "Traceback" not in output.log
    mirroring = Mirroring(hubspot)
    mirroring.mirror.take(output)
    assert mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]["progress"]
    hubspot.heal()
    again = mirroring.run(page_size=20)
    assert mirroring.differences() == []
    assert len(set(output.ids()) & set(again.ids())) <= 20


def test_a_moving_account_ends_the_run(hubspot: Simulator) -> None:
    hubspot.fail("status", status=477, endpoint="list", retry_after=86_400)
    with pytest.raises(StopCleanlyError, match="86400 seconds"):
        read(config_for(hubspot))


@pytest.mark.parametrize("endpoint", ["batch_read", "associations"])
def test_a_batch_that_was_read_in_part_ends_the_run(serve: Serve, endpoint: str) -> None:
    hubspot = serve(Portal.generate(300))
    mirroring = Mirroring(hubspot)
    mirroring.run()
    deal = mirroring.portal.ids()[3]
    mirroring.portal.change("deals", deal, {"dealname": "changed"})
    hubspot.advance(2)
    # The two associations requests of discovery only ask whether the links may be read.
    hubspot.fail("partial", endpoint=endpoint, nth=3 if endpoint == "associations" else 1)
    with pytest.raises(HubSpotError, match=r"could not read .*internal error"):
        mirroring.run()
    hubspot.heal()
    assert mirroring.run().ids() == [deal]
    assert mirroring.differences() == []


@pytest.mark.usefixtures("_short_waits")
def test_what_does_not_pass_ends_the_run(hubspot: Simulator) -> None:
    fault = hubspot.fail("status", status=500, endpoint="owners")
    with pytest.raises(TransientError, match="500 for owners: internal error"):
        read(config_for(hubspot))
    assert fault.struck == retries.MAX_TRIES


@pytest.mark.parametrize(
    ("status", "words"), [(404, "404 for deals"), (414, "properties"), (400, "400 for deals")]
)
def test_what_will_not_change_ends_the_run_at_once(
    hubspot: Simulator, status: int, words: str
) -> None:
    fault = hubspot.fail("status", status=status, endpoint="list")
    with pytest.raises(HubSpotError, match=words):
        read(config_for(hubspot))
    assert fault.struck == 1


def test_a_scope_lost_in_mid_run_ends_it(hubspot: Simulator) -> None:
    hubspot.fail("missing_scope", endpoint="list", nth=2)
    with pytest.raises(HubSpotError, match=r"deals.*crm\.objects\.deals\.read"):
        read(config_for(hubspot))


def test_a_token_revoked_in_mid_run_ends_it(hubspot: Simulator) -> None:
    hubspot.fail("expired", endpoint="list", nth=[2, 3, 4, 5])
    with pytest.raises(AuthenticationError, match="access_token"):
        read(config_for(hubspot))


# OAuth


def oauth(hubspot: Simulator, **settings: Any) -> dict[str, Any]:
    config = config_for(
        hubspot,
        client_id="client-1",
        client_secret="secret-1",
        refresh_token="refresh-1",
        **settings,
    )
    del config["access_token"]
    return config


def test_an_oauth_app_reads_with_its_refresh_token(hubspot: Simulator) -> None:
    client_ = hubspot.portals[0].add_oauth_client()
    assert len(read(oauth(hubspot)).ids()) == 250
    assert client_.issued == 1


def test_a_token_that_ends_in_mid_run_is_renewed_once(serve: Serve) -> None:
    hubspot = serve(Portal.generate(4000, custom_properties=0))
    app = hubspot.portals[0].add_oauth_client(expires_in=1800)
    hubspot.after(15, lambda: hubspot.advance(3600), endpoint="list")
    output = read(oauth(hubspot))
    assert sorted(output.ids()) == sorted(hubspot.portals[0].ids())
    # Ten legs met the end of the token together.
    assert hubspot.requests.count(status=401) >= 1
    assert app.issued == 2


def test_a_token_is_renewed_before_it_ends(hubspot: Simulator) -> None:
    app = hubspot.portals[0].add_oauth_client(expires_in=2)
    output = read(oauth(hubspot, request_delay_ms=150, page_size=20))
    assert len(output.ids()) == 250
    assert app.issued > 1
    assert hubspot.requests.count(status=401) == 0


def test_a_refused_refresh_token_is_named(hubspot: Simulator) -> None:
    app = hubspot.portals[0].add_oauth_client()
    app.revoked = True
    with pytest.raises(AuthenticationError, match=r"refresh token is invalid.*`refresh_token`"):
        read(oauth(hubspot))
    assert hubspot.requests.count(endpoint="oauth") == 1


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ten_secondly", {}),
        ("ten_secondly", {"retry_after": 0.2}),
        ("status", {"status": 502}),
        ("html", {"status": 200}),
        ("reset", {}),
    ],
)
def test_a_token_endpoint_in_trouble_is_waited_for(
    hubspot: Simulator, kind: Any, options: dict[str, Any]
) -> None:
    hubspot.portals[0].add_oauth_client()
    hubspot.fail(kind, endpoint="oauth", times=2, **options)
    assert len(read(oauth(hubspot)).ids()) == 250


@pytest.mark.usefixtures("_short_waits")
def test_threads_do_not_storm_a_token_endpoint_that_has_enough(serve: Serve) -> None:
    hubspot = serve(Portal.generate(4000, custom_properties=0))
    hubspot.portals[0].add_oauth_client(expires_in=1800)
    fault = hubspot.fail("ten_secondly", endpoint="oauth", nth=[2, 3])
    hubspot.after(15, lambda: hubspot.advance(3600), endpoint="list")
    assert len(read(oauth(hubspot)).ids()) == 4000
    assert fault.struck == 2
    assert hubspot.requests.count(endpoint="oauth") == 4


def test_no_secret_is_told_anywhere(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(300))
    hubspot.portals[0].add_oauth_client()
    for kind in ("reset", "status", "truncated", "ten_secondly"):
        hubspot.fail(kind, probability=0.2, times=2, retry_after=0.1)
    environment = {"LOGLEVEL": "DEBUG", "TAP_HUBSPOT_DEALS_LOGLEVEL": "DEBUG"}
    output = run(tmp_path, oauth(hubspot), environment=environment)
    assert output.code == 0, output.log
    told = output.log + str(output.messages)
    issued = [token for token in hubspot.portals[0].credentials if token.startswith("oauth-")]
    assert issued
    for secret in (*issued, "secret-1", "refresh-1", hubspot.portals[0].token):
        assert secret not in told


def test_the_environments_proxy_is_used(
    hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator stands in for a proxy: it answers whatever host it is asked for."""
    config = config_for(hubspot) | {"base_url": "http://hubspot.example"}
    monkeypatch.setenv("HTTP_PROXY", hubspot.url)
    monkeypatch.setenv("NO_PROXY", "")
    assert sorted(read(config).ids()) == sorted(hubspot.portals[0].ids())
    monkeypatch.setenv("NO_PROXY", "hubspot.example")
    with pytest.raises(TransientError, match="no such host"):
        read(config)
