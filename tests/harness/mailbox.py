"""A mail server that keeps what comes: a real one (aiosmtpd), on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session


class Mailbox:
    """The mails that came.

    Attributes:
        port: On the loopback.
        mails: As they were sent, in their order.
        senders: Of their envelopes.
        refuses: Whether recipients are refused.
        seconds: Before a mail is taken.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.senders: list[str | None] = []
        self.refuses = False
        self.seconds = 0.0

    # aiosmtpd calls these by name.

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take or refuse a recipient."""
        if self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        await asyncio.sleep(self.seconds)
        content = envelope.content
        assert isinstance(content, bytes)
        mail: Any = message_from_bytes(content, policy=default)
        self.mails.append(mail)
        self.senders.append(envelope.mail_from)
        return "250 OK"


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server that runs until the block ends."""
    box, loop = Mailbox(), asyncio.new_event_loop()

    async def serve() -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(box, loop=loop), "127.0.0.1", 0)

    server = loop.run_until_complete(serve())
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_ended(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended() -> None:
    """Let conversations that were left open go."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
