"""Singer messages to standard output, whole even when a signal comes."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from singer_sdk.contrib.msgspec import MsgSpecWriter, serialize_jsonl
from typing_extensions import override

from crm_taps.errors import TargetGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.singerlib.messages import Message


logger = logging.getLogger(__name__)


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
        self._told = False

    @override
    def write_message(self, message: Message) -> None:
        """Write one message.

        Raises:
            TargetGoneError: If it cannot be written.
        """
        self.writing = True
        try:
            with written():
                super().write_message(message)
        finally:
            self.writing = False
        if self.interrupted is not None:
            interrupted, self.interrupted = self.interrupted, None
            raise interrupted

    @override
    def serialize_message(self, message: Message) -> bytearray:
        """A message's line; half a character, which no text can have, becomes U+FFFD."""
        try:
            return super().serialize_message(message)
        except UnicodeEncodeError:
            if not self._told:
                self._told = True
                logger.warning(
                    "The source sends texts with half a character (a lone surrogate); U+FFFD "
                    "stands in its place. Further ones are not told."
                )
            return serialize_jsonl(whole(message.to_dict()))


@contextlib.contextmanager
def written() -> Iterator[None]:
    """What is written to standard output, or ends the run.

    Raises:
        TargetGoneError: If it cannot be written.
    """
    if sys.stdout is None:
        raise TargetGoneError("Standard output is closed: nobody can read the messages.")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise TargetGoneError(f"The messages cannot be written: {exc.strerror}.") from exc


def whole(value: Any) -> Any:
    """A value without lone surrogates, also in what it holds."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole(name): whole(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [whole(each) for each in value]
    return value
