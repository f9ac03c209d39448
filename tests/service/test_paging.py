"""Pages and files of results: where one begins, whose a cursor is, and what a removal does."""

from __future__ import annotations

import asyncio
import base64
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from scan_service.db import Database
from scan_service.door import answers
from scan_service.door.printed import Printed
from scan_service.errors import NotFoundError
from scan_service.ledger import scans
from scan_service.records import figures, files, histories, pages, spool, summaries
from scan_service.records.objects import parts
from service.kit import TENANT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from scan_service.records.objects import Part
    from scan_service.settings import Settings
    from service.kit import Client, Ledger
    from starlette.types import Message

MANY = 250  # more than one mark


def fill(client: Client, ledger: Ledger, scan_id: str, most: int = MANY) -> None:
    """A finished scan of deals 1000, 1001, ..."""
    assert client.start(scan_id).status_code == 202
    ledger.make_results(scan_id, [])
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id) select %s, %s, n::text"
        " from generate_series(1000, %s) as n", TENANT, scan_id, 999 + most,
    )  # fmt: skip
    ledger.complete(scan_id)


def page(client: Client, scan_id: str, query: str) -> tuple[list[str], dict[str, Any]]:
    """The ids of a page, and its pagination."""
    answer = client.get(f"/api/v1/scan/result/{scan_id}?{query}")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return [deal["dealId"] for deal in data["deals"]], data["pagination"]


def test_pages_by_number_and_by_cursor_hold_each_record_once(
    client: Client, ledger: Ledger
) -> None:
    fill(client, ledger, "many")
    every = [str(number) for number in range(1000, 1000 + MANY)]

    numbered, walked, query = [], [], "page_size=70"
    for number in (1, 2, 3, 4):
        ids, at = page(client, "many", f"page={number}&page_size=70")
        numbered += ids
        followed, here = page(client, "many", query)
        walked += followed
        assert here == at, "a page is the same whichever way one came"
        query = f"cursor={here['next_cursor']}&page_size=70"
    beyond, after = page(client, "many", "page=1000000&page_size=1000")
    second = page(client, "many", "page_size=100")[1]["next_cursor"]
    other, _ = page(client, "many", f"cursor={second}&page_size=70")

    assert numbered == walked == every
    assert (after["next_cursor"], after["has_next"], after["total_items"]) == (None, False, MANY)
    assert beyond == []
    assert other == every[100:170], "a page may have another size than the one before"


def test_a_cursor_is_good_for_the_records_that_it_came_with_and_for_no_others(
    client: Client, ledger: Ledger
) -> None:
    fill(client, ledger, "one")
    fill(client, ledger, "other", 5)
    cursor = page(client, "one", "page_size=100")[1]["next_cursor"]

    wrong = [f"{cursor}&page=2", "", "%00", cursor[:-1], *map(encoded, NONSENSE)]
    asked = ["other?cursor=" + cursor, *(f"one?cursor={each}" for each in wrong)]
    refused = [client.get(f"/api/v1/scan/result/{each}") for each in asked]

    assert [answer.status_code for answer in refused] == [400] * len(refused)
    assert {answer.json()["error"]["details"][0]["field"] for answer in refused} == {"cursor"}


NONSENSE = ("[" * 1400, '[5,"1"]', '["x",5,"1"]', "5", "{}", '[null,-1,"1"]', '["\\ud800",1,""]')


def encoded(said: str) -> str:
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


async def read_file(db: Database, scan: Mapping[str, Any], part: Part) -> None:
    async with files.opened(
        db, scan, part, "json", associations=False, custom=True, mark=False
    ) as pieces:
        async for _ in pieces:
            pass


async def read_page(db: Database, scan: Mapping[str, Any], part: Part) -> None:
    await pages.page(
        db, scan, part, pages.Place(0), size=10, associations=False, raw=False,
        summaries=summaries.Summaries(),
    )  # fmt: skip


async def read_record(db: Database, scan: Mapping[str, Any], part: Part) -> None:
    await pages.record(db, scan, part, "1000", raw=False)


async def read_history(db: Database, scan: Mapping[str, Any], part: Part) -> None:
    await histories.told(db, scan, part, "1000")


async def read_figures(db: Database, scan: Mapping[str, Any], part: Part) -> None:
    await figures.pipeline(db, scan, part, days=30)


@pytest.mark.parametrize("read", [read_file, read_page, read_record, read_history, read_figures])
def test_what_is_read_while_a_scan_is_removed_is_whole_or_not_there(
    read: Callable[[Database, Mapping[str, Any], Part], Awaitable[None]],
    client: Client, ledger: Ledger, settings: Settings,
) -> None:  # fmt: skip
    config = {"objects": [{"name": "deals", "history": ["amount"]}]}
    client.start("gone", **config)
    ledger.make_results("gone", [{"id": "1000"}])
    ledger.complete("gone")

    async def removed_after_it_was_found() -> None:
        db = Database(settings.database_url)
        await db.open()
        try:
            scan = await scans.find(db, TENANT, "gone", of="deals")
            await asyncio.to_thread(client.delete, "/api/v1/scan/remove/gone?confirm=true")
            await asyncio.to_thread(client.start, "gone", **config)  # its name, not itself
            with pytest.raises(NotFoundError):
                await read(db, scan, parts(scan["config"])["deals"])
        finally:
            await db.close()

    asyncio.run(removed_after_it_was_found())


def test_the_head_of_a_file_claims_no_length(client: Client, ledger: Ledger) -> None:
    fill(client, ledger, "done", 1)

    for form in ("json", "ndjson", "csv", "excel", "parquet"):
        head = client.ask("HEAD", f"/api/v1/scan/download/done/{form}")

        assert head.status_code == 200
        assert "Content-Length" not in head.headers


def test_a_page_of_any_size_is_held_in_memory_about_once(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    client.start("wide")
    ledger.make_results("wide", [])
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id, properties) select %s, 'wide', n::text,"
        " jsonb_build_object('text', repeat('x', 80000) || '\U0001f389')"
        " from generate_series(1, 100) as n", TENANT,
    )  # fmt: skip
    ledger.complete("wide")
    sent: list[int] = []
    held: list[int] = []

    async def send(message: Message) -> None:
        sent.append(len(message.get("body", b"")))
        held.append(tracemalloc.get_traced_memory()[0])

    async def printed(db: Database, scan: Mapping[str, Any], part: Part) -> Printed:
        found = await pages.page(
            db, scan, part, pages.Place(0), size=100, associations=False, raw=False,
            summaries=summaries.Summaries(),
        )  # fmt: skip
        return Printed(*answers.page(scan, part, found, number=1, size=100))

    async def read() -> int:
        db = Database(settings.database_url)
        await db.open()
        try:
            scan = await scans.find(db, TENANT, "wide", of="deals")
            part = parts(scan["config"])["deals"]
            tracemalloc.start()
            answer = await printed(db, scan, part)
            await answer({"type": "http"}, None, send)  # type: ignore[arg-type] # asks for nothing
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await db.close()

    most = asyncio.run(read())
    plain = client.get("/api/v1/scan/result/wide", headers={"Accept-Encoding": "identity"})
    packed = client.get("/api/v1/scan/result/wide", headers={"Accept-Encoding": "gzip"})

    assert sum(sent) > 8_000_000
    assert max(sent) <= 256 * 1024
    assert most < 1.5 * sum(sent)
    assert max(held) < 2_000_000, "of what a slow reader has still to read, little is in memory"
    assert int(plain.headers["Content-Length"]) == len(plain.content)
    assert packed.json()["data"] == plain.json()["data"]


def test_a_page_that_is_printed_in_steps_is_the_same(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, ledger, "many")
    at_once = page(client, "many", "page_size=1000"), page(client, "many", "page=3&page_size=77")

    monkeypatch.setattr(pages, "_FIRST_STEP", 7)
    monkeypatch.setattr(pages, "_STEP_OCTETS", 5000)
    in_steps = page(client, "many", "page_size=1000"), page(client, "many", "page=3&page_size=77")

    assert in_steps == at_once


@pytest.mark.parametrize("lengths", [[], [0], [1], [10, 20], [30, 1, 70], [100], [64, 0, 1, 200]])
def test_a_spool_gives_back_what_it_took(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 64)
    content = bytes(range(256)) * 2

    async def write_and_read() -> list[bytes]:
        kept, told = spool.Spool(), 0
        try:
            for length in lengths:
                await kept.append(content[told : told + length])
                told += length
                assert kept.length == told
                assert await kept.read(0, 1000) == content[:told]
            return [kept.whole(), *[await kept.read(place, 7) for place in range(0, told + 7, 7)]]
        finally:
            kept.close()

    whole, *pieces = asyncio.run(write_and_read())

    assert whole == b"".join(pieces) == content[: sum(lengths)]


@pytest.mark.parametrize(("quick", "told"), [(1e9, [1, 2]), (-1.0, [1, 1])])
def test_what_takes_long_is_not_added_up_anew_for_each_page_of_a_scan_that_runs(
    quick: float, told: list[int], client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "_QUICK_SECONDS", quick)
    monkeypatch.setattr(summaries, "_TIMES", 1e9)
    client.start("runs")
    ledger.run("update scan set status = 'running', started_at = now()")
    found = []
    for number in ("1", "2"):
        ledger.make_results("runs", [{"id": number}])
        data = client.get("/api/v1/scan/result/runs").json()["data"]
        assert len(data["deals"]) == int(number)
        found.append(data["summary"]["totalDeals"])

    assert found == told
