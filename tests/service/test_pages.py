"""The web pages, without a browser: who gets in, what is shown, what is refused."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet
from scan_service.commands import boot
from scan_service.door.app import create_app
from scan_service.web import assets, site
from service.browsing import HOSTILE, Browser
from service.kit import TENANT, Ledger
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from scan_service.settings import Settings


def test_who_has_not_signed_in_is_led_to_the_door_and_back(
    server: TestClient, ledger: Ledger
) -> None:
    server.cookies.clear()
    led = server.get("/scans/first?x=1")

    assert led.status_code == 303
    assert led.headers["Location"] == "/sign-in?next=%2Fscans%2Ffirst%3Fx%3D1"
    back = Browser(server, ledger).sign_in(ledger.key(), "/scans/first?x=1")
    assert (back.status_code, back.headers["Location"]) == (303, "/scans/first?x=1")


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"],
)
def test_nobody_is_led_to_another_site(server: TestClient, ledger: Ledger, following: str) -> None:
    came = Browser(server, ledger).sign_in(ledger.key(), following)

    assert came.headers["Location"] == "/"


def test_the_cookie_is_out_of_reach_and_holds_neither_key_nor_tenant(
    server: TestClient, ledger: Ledger
) -> None:
    key = ledger.key()
    cookie = Browser(server, ledger).sign_in(key).headers["Set-Cookie"]

    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
    assert key not in cookie
    assert TENANT not in cookie
    kept = str(ledger.run("select * from page_session"))
    assert cookie.partition("=")[2].partition(";")[0] not in kept


def test_behind_https_the_cookie_travels_on_https_only(settings: Settings, ledger: Ledger) -> None:
    app = create_app(settings, site.routes)
    with TestClient(app, base_url="https://scans.example", follow_redirects=False) as client:
        cookie = Browser(client, ledger).sign_in(ledger.key()).headers["Set-Cookie"]
        assert client.get("/").status_code == 200

    assert cookie.startswith("__Host-")
    assert "Secure" in cookie


def test_a_wrong_key_says_so_and_lets_nobody_in(server: TestClient, ledger: Ledger) -> None:
    server.cookies.clear()
    refused = Browser(server, ledger).sign_in("sk_live_" + "x" * 43)

    assert refused.status_code == 401
    assert "not valid" in refused.text
    assert "Set-Cookie" not in refused.headers
    assert ledger.run("select from page_session") == []


def test_a_revoked_key_ends_the_session_at_the_next_request(pages: Browser) -> None:
    assert pages.get("/").status_code == 200

    pages.ledger.run("update api_key set revoked_at = now()")

    ended = pages.get("/")
    assert (ended.status_code, ended.headers["Location"]) == (303, "/sign-in")
    assert 'scans="";' in ended.headers["Set-Cookie"]


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(pages: Browser) -> None:
    copied = dict(pages.http.cookies)

    assert pages.post("/sign-out").headers["Location"] == "/sign-in"

    pages.http.cookies.update(copied)
    assert pages.get("/").status_code == 303
    assert pages.ledger.run("select from page_session") == []


def test_a_session_ends_by_itself(pages: Browser) -> None:
    pages.ledger.run("update page_session set ends_at = now() - interval '1 second'")

    assert pages.get("/").status_code == 303


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, True),
        ({"Origin": "http://testserver"}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
    ],
)
def test_only_our_own_forms_change_anything(
    pages: Browser,
    headers: dict[str, str],
    passes: bool,  # noqa: FBT001
) -> None:
    pages.api().start("first")

    answer = pages.http.post("/scans/first/cancel", headers=headers)

    (status,) = pages.ledger.run("select status from scan")
    assert (answer.status_code, status) == (
        (303, ("cancelled",)) if passes else (403, ("pending",))
    )


def test_the_api_takes_no_cookie_and_pages_take_no_bearer(pages: Browser) -> None:
    assert pages.get("/api/v1/scan/list").status_code == 401

    pages.http.cookies.clear()

    assert pages.get("/", headers={"Authorization": f"Bearer {pages.key}"}).status_code == 303


def test_a_tenant_sees_and_changes_nothing_of_another(pages: Browser) -> None:
    pages.api().start("first")
    pages.post("/sign-out")
    pages.sign_in(pages.ledger.key("other"))

    assert "/scans/first" not in pages.get("/").text
    for path in ("", "/live", "/remove", "/download/csv"):
        assert pages.get(f"/scans/first{path}").status_code == 404
    for act in ("cancel", "remove"):
        assert pages.post(f"/scans/first/{act}").status_code == 404
    assert pages.ledger.run("select status from scan") == [("pending",)]


def test_a_key_may_do_on_pages_what_it_may_do_over_the_api(pages: Browser) -> None:
    pages.api().start("first")
    pages.post("/sign-out")
    pages.sign_in(pages.ledger.key(permissions=("hubspot_deals:read",)))

    assert "Cancel" not in pages.get("/scans/first").text
    refused = pages.post("/scans/first/cancel")
    assert refused.status_code == 403
    assert "hubspot_deals:extract" in refused.text


def test_what_is_done_on_pages_is_noted_as_over_the_api(pages: Browser) -> None:
    pages.api().start("first")
    pages.post("/scans/first/cancel")

    noted = pages.ledger.run("select operation, subject, status from audit order by id")

    assert noted[-1] == ("POST /api/v1/scan/cancel/{scan_id}", "first", 200)


def test_a_page_is_one_request_of_the_tenants_limit(pages: Browser) -> None:
    (before,) = pages.ledger.run("select tokens from bucket")
    for _ in range(3):
        pages.get("/")
    (after,) = pages.ledger.run("select tokens from bucket")

    assert before[0] - after[0] == pytest.approx(3, abs=1)


def test_every_answer_forbids_what_is_not_from_here(pages: Browser) -> None:
    for path in ("/", "/sign-in", "/scans/none", "/scans/none/download/csv"):
        answer = pages.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script>", answer.text)


def test_assets_are_kept_for_ever_under_names_that_change_with_them(pages: Browser) -> None:
    found = pages.get(assets.address("pages.css"))

    assert found.status_code == 200
    assert "immutable" in found.headers["Cache-Control"]
    assert re.fullmatch(r"/assets/pages\.[0-9a-f]{12}\.css", assets.address("pages.css"))
    assert pages.get("/assets/pages.css").status_code == 404


def test_what_anybody_wrote_is_text_on_every_page(pages: Browser) -> None:
    pages.api().start("first")
    pages.ledger.run(
        "update scan set errors = jsonb_build_array(jsonb_build_object('dealId', %s::text,"
        " 'code', 'X', 'error', %s::text, 'timestamp', '2026-01-01T00:00:00Z', 'retryCount', 0))",
        HOSTILE, HOSTILE,
    )  # fmt: skip

    shown = pages.get("/scans/first").text

    assert "<img src=x" not in shown
    assert "&lt;img src=x" in shown


def test_a_removal_tells_what_goes_before_it_goes(pages: Browser) -> None:
    pages.api().start("first")
    pages.ledger.make_results("first", [{"id": str(n)} for n in range(3)])
    pages.ledger.complete("first")

    assert "Remove 3 records" in pages.get("/scans/first/remove").text
    assert pages.post("/scans/first/remove").headers["Location"] == "/"
    assert pages.get("/scans/first").status_code == 404


def test_files_are_those_of_the_api(pages: Browser) -> None:
    pages.api().start("first")
    pages.ledger.make_results("first", [{"id": "1", "dealname": "=1+1"}])
    pages.ledger.complete("first")

    link = re.search(r'href="(/scans/first/download/csv[^"]*)"', pages.get("/scans/first").text)
    assert link
    file = pages.get(link[1].replace("&amp;", "&"))

    assert file.content.startswith(b"\xef\xbb\xbf")
    assert file.content[3:] == pages.api().get("/api/v1/scan/download/first/csv").content


def test_parquet_is_offered_where_it_is_installed(
    pages: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.api().start("first")
    pages.ledger.make_results("first", [{"id": "1", "dealname": "one"}])
    pages.ledger.complete("first")

    link = re.search(r'href="(/scans/first/download/parquet[^"]*)"', pages.get("/scans/first").text)
    assert link
    file = pages.get(link[1].replace("&amp;", "&"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    without = pages.get("/scans/first").text

    table = parquet.read_table(io.BytesIO(file.content)).to_pylist()
    assert [(row["deal_id"], row["dealname"]) for row in table] == [("1", "one")]
    assert re.findall(r"/download/(\w+)\?", without) == ["excel", "csv", "json", "ndjson"]


def test_whoever_watches_is_told_of_each_change_and_of_the_end(pages: Browser) -> None:
    pages.api().start("first")

    told = pages.watch(
        "/scans/first/live",
        lambda: pages.ledger.run(
            "update scan set processed_items = 7, status = 'cancelled', token = null,"
            " completed_at = now()"
        ),
    )

    assert told.startswith("event: part\n")
    assert "Waiting" in told
    assert told.count("event: part\n") == 2
    assert told.endswith("event: end\ndata:\n\n")


def test_whoever_watches_is_told_when_his_key_ends(pages: Browser) -> None:
    pages.api().start("first")

    told = pages.watch(
        "/scans/first/live",
        lambda: pages.ledger.run(
            "with ended as (update api_key set revoked_at = now())"
            " update scan set processed_items = 7"
        ),
    )

    assert told.endswith("event: gone\ndata:\n\n")


def test_where_enough_watch_the_next_is_told_to_look_again(
    settings: Settings, ledger: Ledger
) -> None:
    app = create_app(settings.model_copy(update={"page_viewers": 1}), site.routes)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        pages = Browser(client, ledger)
        pages.sign_in(ledger.key())
        pages.api().start("first")
        answers = []

        def come_too() -> None:
            answers.append(pages.get("/scans/first/live").status_code)
            ledger.run("update scan set status = 'cancelled', token = null, completed_at = now()")

        pages.watch("/scans/first/live", come_too)
        freed = pages.watch("/scans/first/live")

    assert answers == [503]
    assert freed.endswith("event: end\ndata:\n\n"), "who left made place"


def test_an_operator_may_have_no_pages(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"pages": False}), site.routes)
    with TestClient(app, follow_redirects=False) as client:
        assert client.get("/").status_code == 404
        assert client.get("/sign-in").status_code == 404


def test_the_server_has_the_pages(settings: Settings) -> None:
    app = boot._server(settings).config.app

    assert {route.path for route in app.routes} >= {page.path for page in site.PAGES}  # type: ignore[union-attr]
