"""Singer messages to standard output, whole even when a signal comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib.messages import Message


class MessageWriter(MsgSpecWriter):
    """The SDK's exact writer, which a signal handler must not interrupt.

    Attributes:
        writing: Whether a line is being written.
        interrupted: What a signal handler left to be raised after that line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writing = False
        self.interrupted: BaseException | None = None

    @override
    def write_message(self, message: Message) -> None:
        self.writing = True
        try:
            super().write_message(message)
        finally:
            self.writing = False
        if self.interrupted is not None:
            interrupted, self.interrupted = self.interrupted, None
            raise interrupted
