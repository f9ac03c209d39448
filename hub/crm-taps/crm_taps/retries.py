"""How a request is tried again: in its turn, after the wait that the source names or its own."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import backoff
import requests
from singer_sdk.exceptions import RetriableAPIError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Mapping

    from crm_taps.pace import Pace

LONGEST_WAIT = 300.0
"""Seconds between two tries, where the source names no other wait."""
TRANSIENT = (
    RetriableAPIError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


def retrying(
    func: Callable[..., Any], *, pace: Pace, config: Mapping[str, Any], logger: logging.Logger
) -> Callable[..., Any]:
    """A function that makes its request in turn, and again where that may help.

    Args:
        func: Makes the request once.
        pace: How fast the source may be asked.
        config: The settings `max_tries` and `retry_wait_seconds`.
        logger: Told about each further try.
    """

    def paced(*args: Any, **kwargs: Any) -> Any:
        pace.take()
        return func(*args, **kwargs)

    def waits() -> Generator[float, Exception, None]:
        first = float(config["retry_wait_seconds"])
        error = yield 0.0  # the library asks once before the first error
        for tries in itertools.count():
            named = retry_after(getattr(error, "response", None))
            error = yield min(first * 2**tries, LONGEST_WAIT) if named is None else named

    def tell(details: Any) -> None:
        error = details["exception"]
        told = str(error) if isinstance(error, RetriableAPIError) else type(error).__name__
        logger.warning("%s Trying again in %.1f seconds.", told, details["wait"])

    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = backoff.on_exception(
        waits,
        TRANSIENT,
        max_tries=config["max_tries"],
        jitter=backoff.random_jitter,  # a little more, never less than the source asked for
        on_backoff=tell,
        logger=None,
    )
    return decorate(paced)


def retry_after(response: requests.Response | None) -> float | None:
    """Seconds that an answer asks to wait, up to an hour; None where it names none.

    `Retry-After` has seconds, or a time by the source's own clock (RFC 9110, section 10.2.3).
    """
    headers = {} if response is None else response.headers
    told = headers.get("Retry-After", "")
    try:
        named = float(told)
    except ValueError:
        try:
            until = parsedate_to_datetime(told)
            clock = headers.get("Date")
            now = parsedate_to_datetime(clock) if clock else datetime.now(UTC)
            named = (until - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(named) else min(max(0.0, named), 3600.0)
