"""Knows how a webhook is called: signed, once at a time, never for long, and never led elsewhere.

Signed as https://www.standardwebhooks.com says (`webhook-id`, `webhook-timestamp`,
`webhook-signature`), so that receivers find a library for it in every language.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx2
from service_base.logs import logger

from scan_service.guard.receivers import ReceiverError, find
from scan_service.guard.vault import WEBHOOK_SECRET, VaultError
from scan_service.ledger import deliveries
from scan_service.moments import timestamp
from scan_service.pipeline.patience import end

if TYPE_CHECKING:
    from scan_service.db import Database
    from scan_service.guard.vault import Vault

_log = logger(__name__)
_AT_ONCE = 10
# Of those, a tenant's at most: slow receivers of one keep no other's waiting.
_SHARE = 3
# How often to look for what has become due meanwhile.
_LOOK_SECONDS = 1.0
# A receiver has this long for everything; it is well below the time that a delivery is claimed for.
_PATIENCE_SECONDS = 15.0


class Teller:
    """Calls webhooks.

    Args:
        db: where the deliveries are.
        vault: opens the webhooks' secrets.
        private: whether receivers may be on private addresses.
    """

    def __init__(self, db: Database, vault: Vault, *, private: bool) -> None:
        self._db = db
        self._vault = vault
        self._private = private

    async def tell(self) -> int:
        """Call what is due, some at once, until nothing is; return how many calls that were."""
        count, calls = 0, dict[asyncio.Task[None], str]()
        # trust_env: a proxy of ours would look names up itself, and reach what we must not.
        async with httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS) as client:
            try:
                while True:
                    due = await deliveries.claim(
                        self._db, _AT_ONCE - len(calls),
                        share=_SHARE, busy=Counter(calls.values()),
                    )  # fmt: skip
                    for each in due:
                        calls[asyncio.create_task(self._deliver(client, each))] = each["tenant_id"]
                    count += len(due)
                    if not calls:
                        return count
                    done, _ = await asyncio.wait(
                        calls, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    for call in done:
                        del calls[call]
                        call.result()
            finally:
                await end(*calls)

    async def _deliver(self, client: httpx2.AsyncClient, delivery: dict[str, Any]) -> None:
        status, reason = None, None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                status = await self._call(client, delivery)
        except TimeoutError:
            reason = f"No answer within {_PATIENCE_SECONDS:.0f} s"
        except Exception as error:  # noqa: BLE001 - whatever a tenant's URL makes of it
            reason = _sentence(error)
        if status is not None and httpx2.codes.is_success(status):
            await deliveries.delivered(self._db, delivery["id"], status)
            return
        if status is not None:
            redirect = "; redirects are not followed" if httpx2.codes.is_redirect(status) else ""
            reason = f"Answered {status}{redirect}"
        again = await deliveries.failed(self._db, delivery, status, reason or "")
        _log.warning(
            "webhook failed", tenant=delivery["tenant_id"], delivery=str(delivery["id"]),
            reason=reason, again=again,
        )  # fmt: skip

    async def _call(self, client: httpx2.AsyncClient, delivery: dict[str, Any]) -> int:
        """Call once; return the answer's status. Its body is nobody's business."""
        receiver = await find(delivery["url"], private=self._private)
        secret = self._vault.webhook(delivery["secret"], tenant_id=delivery["tenant_id"])
        body = message(delivery)
        headers = {
            "Host": receiver.authority,
            "Content-Type": "application/json",
            "User-Agent": "scan-service",
            **signed(secret, str(delivery["id"]), int(time.time()), body),
        }
        request = client.build_request(
            "POST", receiver.url, content=body, headers=headers,
            extensions={"sni_hostname": receiver.host},
        )  # fmt: skip
        answer = await client.send(request, stream=True)
        await answer.aclose()
        return answer.status_code


def message(delivery: dict[str, Any]) -> bytes:
    """Return the body of a call: what happened, when, and to what."""
    return json.dumps({
        "type": delivery["event"],
        "timestamp": timestamp(delivery["created_at"]),
        "data": delivery["data"],
    }).encode()  # fmt: skip


def signed(secret: str, name: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who calls and when.

    Args:
        secret: `whsec_` and base64, as the webhook's owner was shown it.
        name: of the delivery; the same in each try.
        seconds: since 1970; receivers refuse what is older than some minutes.
        body: what is signed with it.
    """
    key = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET))
    content = b".".join((name.encode(), str(seconds).encode(), body))
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _sentence(error: Exception) -> str:
    """Say what went wrong without an answer's or a library's own text."""
    if isinstance(error, (ReceiverError, VaultError)):
        return f"Not called: {error}"
    if isinstance(error, httpx2.TimeoutException):
        return "No answer in time"
    if isinstance(error, httpx2.ConnectError):
        return "No connection"
    return f"The call broke: {type(error).__name__}"
