"""A stream of an API that answers GET requests with JSON: how it is asked, and asked again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from singer_sdk.pagination import BaseHATEOASPaginator, PageNumberPaginator
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import HTTPRequest
from typing_extensions import TypeVar, override

from crm_taps.errors import InconsistentError, error_for
from crm_taps.retries import retrying
from crm_taps.streams import SourceStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import requests
    from singer_sdk.streams.rest import PageContext

    from crm_taps.streams import Row

MOST_AGAIN = 5
"""How often a list that becomes shorter while it is read is begun again."""
Token = TypeVar("Token", default=Any)


class RestStream(SourceStream, RESTStream[Token], Generic[Token]):
    """A stream of a REST API.

    Attributes:
        envelope: The field of an answer that holds the rows; None where the answer is the rows.
    """

    envelope: ClassVar[str | None] = None
    allow_redirects = False

    @property
    @override
    def url_base(self) -> str:
        """Where the API is."""
        return str(self.config["base_url"]).rstrip("/")

    @property
    @override
    def timeout(self) -> int:
        """How long an answer may take, in seconds."""
        return self.config["timeout_seconds"]  # type: ignore[no-any-return]

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """The rows of all pages."""
        return self.request_records(context)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows of one page; numbers keep every digit."""
        body = body_of(response, self)
        rows = body
        if self.envelope is not None:
            rows = body.get(self.envelope) if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.inconsistent("has not the form that is documented")
        return rows

    def inconsistent(self, what: str) -> InconsistentError:
        """The error for an answer that cannot be."""
        return InconsistentError(f"{self.source_tap.source}'s answer for {self.name} {what}.")

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Raise the error that fits an answer, if it is no good one."""
        error = error_for(response, source=self.source_tap.source, what=self.name)
        if error is not None:
            raise error

    @override
    def request_decorator(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Make a request wait for its turn, and try it again where that may help."""
        return retrying(func, pace=self.source_tap.pace, config=self.config, logger=self.logger)


class Pages(PageNumberPaginator):
    """Pages by number, where the answer tells how many there are.

    A record that is taken out while they are read moves those after it to pages that are done: so a
    list that became shorter is read again from its first page.

    Args:
        stream: Whose pages these are.
        start_value: The number of the first page.
    """

    def __init__(self, stream: RestStream[int], start_value: int = 1) -> None:
        super().__init__(start_value)
        self.stream = stream
        self._first = start_value
        self._held: int | None = None
        self._again = 0

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page ends nothing where more are told."""
        return self.has_more(response)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether the answer tells more pages than there were, or fewer records."""
        total = body_of(response, self.stream).get("total_pages")
        if not isinstance(total, int):
            raise self.stream.inconsistent("does not tell `total_pages`")
        return self.current_value < total or self._is_shorter(response)

    @override
    def get_next(self, response: requests.Response) -> int:
        """The next page, or the first one again."""
        shorter = self._is_shorter(response)
        held = body_of(response, self.stream).get("total_records")
        self._held = held if isinstance(held, int) else None
        if not shorter:
            return self.current_value + 1
        self._again += 1
        if self._again > MOST_AGAIN:
            raise self.stream.inconsistent("becomes shorter each time that it is read")
        return self._first

    def _is_shorter(self, response: requests.Response) -> bool:
        held = body_of(response, self.stream).get("total_records")
        known = isinstance(held, int) and self._held is not None
        return known and self.current_value > self._first and held < self._held


class NextPages(BaseHATEOASPaginator):
    """Pages whose answer tells the whole address of the next one, which is requested verbatim.

    Args:
        stream: Whose pages these are.
    """

    def __init__(self, stream: RestStream[Any]) -> None:
        super().__init__()
        self.stream = stream
        self._seen: set[str] = set()

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page ends nothing where another one is told."""
        return self.has_more(response)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether the answer tells another page."""
        return bool(body_of(response, self.stream).get("has_next_page"))

    @override
    def get_next_url(self, response: requests.Response) -> str | None:
        """The address of the next page.

        Raises:
            InconsistentError: It is of another host, which must not get the credentials, or was
                there before.
        """
        url = body_of(response, self.stream).get("next_page")
        if not isinstance(url, str) or url in self._seen:
            raise self.stream.inconsistent("does not lead to a new page, though it tells one")
        if not url.startswith(f"{self.stream.url_base}/"):
            raise self.stream.inconsistent(
                "leads to an address that is not under the setting `base_url`"
            )
        self._seen.add(url)
        return url


def next_request(page: PageContext[Any], headers: dict[str, str]) -> HTTPRequest | None:
    """The request for a page that `NextPages` found; None for the first page."""
    if page.next_page_token is None:
        return None
    return HTTPRequest(url=page.next_page_token.geturl(), headers=headers)


def body_of(response: requests.Response, stream: RestStream[Any]) -> Any:
    """An answer's JSON; numbers keep every digit.

    Raises:
        InconsistentError: It is none.
    """
    try:
        return response.json(parse_float=Decimal)
    except ValueError:
        raise stream.inconsistent("is no JSON") from None
