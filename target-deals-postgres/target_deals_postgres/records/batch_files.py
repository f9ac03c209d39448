"""The records of a BATCH message, from the files that it names."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

from target_deals_postgres.errors import InputError
from target_deals_postgres.sdk import BatchFileFormat, StorageTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_deals_postgres.records.messages import Message


def records(message: Message) -> Iterator[bytes]:
    """Read the records of a BATCH, one line of JSON each.

    Raises:
        InputError: the encoding is another one than JSON lines, plain or compressed by gzip, no
            files are named, or one cannot be read.
    """
    encoding = message.encoding or {}
    if encoding.get("format") != BatchFileFormat.JSONL:
        raise InputError(f"a BATCH of stream {message.stream} is not in format jsonl")
    compression = encoding.get("compression") or "none"
    if compression not in ("none", "gzip"):
        raise InputError(
            f"a BATCH of stream {message.stream} has the compression {compression!s:.60}, which is "
            "neither gzip nor none"
        )
    if message.manifest is None:
        raise InputError(f"a BATCH of stream {message.stream} has no manifest")
    for url in message.manifest:
        try:
            with contextlib.ExitStack() as opened:
                head, tail = StorageTarget.split_url(url)
                file: IO[Any] = opened.enter_context(
                    StorageTarget.from_url(head).open(tail, mode="rb")
                )
                if compression == "gzip":
                    file = opened.enter_context(cast("IO[Any]", gzip.GzipFile(fileobj=file)))
                for line in file:
                    if not line.isspace():
                        yield line
        except (OSError, EOFError, zlib.error, ImportError, ValueError, IndexError) as error:
            raise InputError(f"a file of a BATCH of stream {message.stream}: {error}") from None
