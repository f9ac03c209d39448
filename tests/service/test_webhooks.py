"""Being told: signed, once, again after trouble, and never led elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from scan_service.db import Database
from scan_service.door.app import create_app
from scan_service.guard.receivers import ReceiverError, check, find
from scan_service.guard.vault import Vault
from scan_service.ledger import deliveries
from scan_service.pipeline import telling
from scan_service.pipeline.patience import end
from service.kit import TENANT, Client, Ledger
from service.processes import Installation, wait_for
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scan_service.settings import Settings


class Receiver(ThreadingHTTPServer):
    """A server of a tenant: keeps what it is told, and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.answer = 200
        self.delay = 0.0
        self.url = f"http://localhost:{self.server_port}/hooks?x=1"

    def told(self) -> list[str]:
        return [json.loads(body)["type"] for _, _, body in self.calls]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append((self.path, headers, body))
        time.sleep(self.server.delay)
        self.send_response(self.server.answer)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def open_http(settings: Settings) -> Iterator[TestClient]:
    """A service that may call machines of its own network."""
    opened = settings.model_copy(update={"private_webhooks": True})
    with TestClient(create_app(opened), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ours(open_http: TestClient, ledger: Ledger) -> Client:
    return Client(open_http, ledger.key())


def subscribe(client: Client, url: str, name: str = "main", **more: Any) -> str:
    body = {"webhook": {"webhookId": name, "url": url, **more}}
    answer = client.post("/api/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    secret: str = answer.json()["data"]["secret"]
    return secret


def told(settings: Settings, *, private: bool = True) -> int:
    """What a worker does again and again."""

    async def once() -> int:
        db = Database(settings.database_url)
        await db.open()
        try:
            return await telling.Teller(db, Vault(settings.secret_keys), private=private).tell()
        finally:
            await db.close()

    return asyncio.run(once())


def delivery(client: Client, name: str = "main") -> dict[str, Any]:
    answer = client.get(f"/api/v1/webhooks/{name}/deliveries")
    first: dict[str, Any] = answer.json()["data"]["deliveries"][0]
    return first


def moment(ledger: Ledger) -> datetime:
    """The database's time."""
    ((now,),) = ledger.run("select clock_timestamp()")
    found: datetime = now
    return found


def ended(client: Client, name: str = "scan-1") -> None:
    """A scan that is over."""
    assert client.start(name).status_code == 202
    client.post(f"/api/v1/scan/cancel/{name}")


def test_the_end_of_a_scan_is_told_once_and_signed(
    ours: Client, settings: Settings, receiver: Receiver
) -> None:
    secret = subscribe(ours, receiver.url)
    ended(ours)

    assert (told(settings), told(settings)) == (1, 0)

    ((path, headers, body),) = receiver.calls
    event = json.loads(body)
    assert path == "/hooks?x=1"
    assert headers["host"] == f"localhost:{receiver.server_port}"
    assert event["type"] == "scan.cancelled"
    assert event["data"]["scanId"] == "scan-1"
    assert event["data"]["tenantId"] == TENANT
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert delivery(ours)["status"] == "delivered"
    assert delivery(ours)["id"] == headers["webhook-id"]


def test_a_webhook_hears_only_of_its_events_and_its_tenant(
    ours: Client, open_http: TestClient, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    stranger = Client(open_http, ledger.key("stranger"))
    subscribe(ours, receiver.url, events=["scan.completed"])
    subscribe(stranger, receiver.url)
    ended(ours)

    assert told(settings) == 0
    assert stranger.delete("/api/v1/webhooks/other").status_code == 404
    assert [each["webhookId"] for each in _listed(stranger)] == ["main"]


def _listed(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/v1/webhooks").json()["data"]["webhooks"]
    return found


@pytest.mark.parametrize(
    ("answer", "said"),
    [(500, "Answered 500"), (404, "Answered 404"), (302, "redirects are not followed")],
)
def test_a_receiver_that_says_no_is_called_again_later_and_never_led_elsewhere(
    answer: int, said: str, ours: Client, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, receiver.url)
    ended(ours)
    receiver.answer = answer

    assert told(settings) == 1
    tried = delivery(ours)
    assert told(settings) == 0  # not yet
    ledger.run("update delivery set due_at = now()")
    receiver.answer = 204
    assert told(settings) == 1

    assert tried["status"] == "pending"
    assert said in tried["lastError"]
    assert [path for path, _, _ in receiver.calls] == ["/hooks?x=1"] * 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.calls}) == 1
    assert (delivery(ours)["status"], delivery(ours)["attempts"]) == ("delivered", 2)


def test_the_pauses_grow_and_end(
    ours: Client, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, receiver.url)
    ended(ours)
    receiver.answer = 500
    pauses = []
    while True:
        before = moment(ledger)
        if not told(settings):
            break
        ((due,),) = ledger.run("select due_at from delivery")
        pauses.append((due, before, moment(ledger)))
        ledger.run("update delivery set due_at = now() where due_at is not null")

    assert pauses.pop()[0] is None
    expected = deliveries.BACK_OFF_SECONDS
    for (due, before, after), seconds in zip(pauses, expected, strict=True):
        assert before <= due - timedelta(seconds=seconds) <= after
    assert delivery(ours)["status"] == "failed"
    assert sum(expected) > 3 * 24 * 3600


def test_a_receiver_that_is_gone_is_left_alone_until_it_is_tested(
    ours: Client, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, receiver.url)
    ended(ours)
    receiver.answer = 410

    assert told(settings) == 1
    ended(ours, "scan-2")
    assert told(settings) == 0
    assert _listed(ours)[0]["pausedAt"] is not None
    receiver.answer = 200
    assert ours.post("/api/v1/webhooks/main/test").status_code == 202
    assert told(settings) == 1

    assert receiver.told() == ["scan.cancelled", "webhook.test"]
    assert _listed(ours)[0]["pausedAt"] is None


def test_a_receiver_that_is_slow_or_down_holds_up_nobody(
    ours: Client, settings: Settings, receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(telling, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(deliveries, "BACK_OFF_SECONDS", (600,))
    receiver.delay = 60
    subscribe(ours, receiver.url, "slow")
    subscribe(ours, "http://127.0.0.1:9/", "down")
    ended(ours)

    began = time.monotonic()
    assert told(settings) == 2

    assert time.monotonic() - began < 50
    assert "1 s" in delivery(ours, "slow")["lastError"]
    assert delivery(ours, "down")["lastError"] == "No connection"


def test_a_tenant_with_many_slow_receivers_keeps_nobody_elses_waiting(
    ours: Client, open_http: TestClient, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    stranger = Client(open_http, ledger.key("stranger"))
    with Receiver() as slow:
        threading.Thread(target=slow.serve_forever, daemon=True).start()
        slow.delay = 60
        for number in range(12):  # more than are called at once
            subscribe(stranger, slow.url, f"slow-{number}")
            stranger.post(f"/api/v1/webhooks/slow-{number}/test")
        subscribe(ours, receiver.url)
        ended(ours)

        async def until_told() -> int:
            db = Database(settings.database_url)
            await db.open()
            try:
                teller = telling.Teller(db, Vault(settings.secret_keys), private=True)
                work = asyncio.create_task(teller.tell())
                await asyncio.to_thread(wait_for, lambda: receiver.calls)
                await end(work)
                ((begun,),) = ledger.run("select count(*) from delivery where attempts > 0")
                return int(begun)
            finally:
                await db.close()

        assert asyncio.run(until_told()) <= 1 + 3
        slow.shutdown()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_a_receiver_whose_name_can_be_no_name_keeps_nobody_waiting(
    host: str, ours: Client, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, f"https://{host}/", "odd")
    subscribe(ours, receiver.url)
    ended(ours)

    assert told(settings) == 2

    assert delivery(ours, "odd")["lastError"] == "Not called: its host has no address"
    assert delivery(ours)["status"] == "delivered"


def test_a_private_address_is_refused_when_named_and_when_looked_up(
    client: Client, ours: Client, settings: Settings, receiver: Receiver
) -> None:
    private = {"webhook": {"webhookId": "inside", "url": "https://127.0.0.1/"}}
    refused = client.post("/api/v1/webhooks", json=private)
    subscribe(ours, receiver.url)
    ended(ours)
    told(settings, private=False)

    assert refused.status_code == 400
    assert refused.json()["error"]["details"] == [
        {"field": "webhook.url", "message": "must not be on a private address"}
    ]
    assert receiver.calls == []
    assert "Not called" in delivery(ours)["lastError"]


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/", "https://[::1]/", "https://[::ffff:192.168.0.1]/", "https://169.254.169.254/x",
        "https://100.64.0.1/", "https://[fd00::1]/", "https://0.0.0.0/", "https://[2002:7f00:1::]/",
        "https://224.0.0.1/", "http://example.com/", "ftp://example.com/", "https://user:pw@host.org/",
        "https:///x", "https://host.org:0/", "https://host.org:99999/", "https://exa mple.com/",
        "https://[::127.0.0.1]/", "https://[fec0::1]/", "https://[64:ff9b::10.0.0.1]/",
        "https://[64:ff9b:1::8.8.8.8]/", "https://[::ffff:0:10.0.0.1]/", "https://[2001:0:a00:1::1]/",
        "https://[::1", "", "https://example.com/\r\nHost: x", "https://example.com/" + "a" * 2000,
    ],
)  # fmt: skip
def test_urls_that_must_not_be_called_are_refused(url: str) -> None:
    with pytest.raises(ReceiverError):
        check(url, private=False)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/", "https://93.184.216.34:8443/a?b=c", "https://[2606:4700::1111]/",
     "https://[64:ff9b::93.184.216.34]/"],
)  # fmt: skip
def test_urls_of_the_internet_are_taken(url: str) -> None:
    assert check(url, private=False).hostname


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001"])
def test_a_name_that_means_this_machine_is_found_out(host: str) -> None:
    with pytest.raises(ReceiverError):
        asyncio.run(find(f"https://{host}/", private=False))


def test_secrets_and_other_tenants_are_never_shown(ours: Client, ledger: Ledger) -> None:
    secret = subscribe(ours, "http://localhost:9/")

    assert secret not in ours.get("/api/v1/webhooks").text
    ((sealed,),) = ledger.run("select secret from webhook")
    assert secret.encode() not in bytes(sealed)


def test_webhooks_are_counted_and_named_once(ours: Client) -> None:
    for number in range(20):
        subscribe(ours, "http://localhost:9/", f"w{number}")

    more = {"webhook": {"webhookId": "w20", "url": "http://localhost:9/"}}
    assert ours.post("/api/v1/webhooks", json=more).status_code == 409
    assert ours.delete("/api/v1/webhooks/w3").status_code == 200
    again = {"webhook": {"webhookId": "w4", "url": "http://localhost:9/"}}
    assert ours.post("/api/v1/webhooks", json=again).status_code == 409
    assert ours.get("/api/v1/webhooks/w3/deliveries").status_code == 404


def test_a_scan_that_takes_too_long_is_told_once(
    ours: Client, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, receiver.url)
    ours.start("slow")
    ledger.run("update scan set created_at = now() - interval '61 minutes'")

    async def look() -> list[int]:
        db = Database(settings.database_url)
        await db.open()
        try:
            return [await deliveries.note_late(db, minutes=60) for _ in range(2)]
        finally:
            await db.close()

    assert asyncio.run(look()) == [1, 0]
    told(settings)
    assert receiver.told() == ["scan.late"]


def test_what_was_told_long_ago_is_forgotten_and_what_is_due_is_not(
    ours: Client, ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    subscribe(ours, receiver.url)
    ended(ours)
    told(settings)
    ended(ours, "scan-2")
    ledger.run("update delivery set created_at = now() - interval '31 days'")

    async def forget() -> None:
        db = Database(settings.database_url)
        await db.open()
        try:
            await deliveries.forget(db)
        finally:
            await db.close()

    asyncio.run(forget())

    assert ledger.run("select data ->> 'scanId' from delivery") == [("scan-2",)]


def test_an_end_is_told_though_its_worker_was_killed_and_a_new_property_too(
    ours: Client, ledger: Ledger, settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    subscribe(ours, receiver.url)
    # What a worker leaves that is killed right after a scan's end.
    assert ours.start("first", properties=["dealname"]).status_code == 202
    ledger.complete("first")
    assert receiver.calls == []
    service = Installation(
        ledger.url, tmp_path, settings.hubspot_base_url, private_webhooks=True, sweep_seconds=0.5,
        secret_keys=settings.secret_keys.get_secret_value(),
    )  # fmt: skip
    try:
        service.work()
        wait_for(lambda: receiver.told() == ["scan.completed"], why=service.logs())
        assert ours.start("second", mode="incremental").status_code == 202
        wait_for(lambda: len(receiver.calls) == 2, why=service.logs())
        # As if the account had had one property less, and another one of another kind.
        ledger.run(
            "update bookmark set columns = jsonb_set(columns #- '{deals,standard,amount}',"
            " '{deals,standard,dealname}', '\"number\"')"
        )
        assert ours.start("third", mode="incremental").status_code == 202
        wait_for(lambda: len(receiver.calls) == 4, why=service.logs())
    finally:
        service.stop()

    events = {json.loads(body)["type"]: json.loads(body) for _, _, body in receiver.calls}
    assert set(events) == {"scan.completed", "schema.changed"}
    assert events["schema.changed"]["data"]["scanId"] == "third"
    assert events["schema.changed"]["data"]["changes"] == {
        "deals": {"added": ["amount"], "removed": [], "retyped": ["dealname"]}
    }
