"""What can go wrong in a conversation with HubSpot, as sentences for people.

HubSpotError                 the run cannot go on
├── AuthenticationError      no token, or one that HubSpot refuses
├── MissingScopeError        the token may not read this
├── InconsistentError        HubSpot's answers contradict themselves
├── StopCleanlyError         HubSpot wants us to come back later; the state is good
│   ├── DailyLimitError      the account's requests of the day are used up
│   ├── DailyReserveError    they would be used up below a reserve
│   └── AccountMovingError   the account goes to another data centre
└── TransientError           worth another try; fatal when the tries are used up
    └── RateLimitedError     429

Each has a `code` for programs, and says by `retryable` whether the same run may do better later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MESSAGE_LIMIT = 300


class HubSpotError(Exception):
    """HubSpot refused a request, or gave an answer of an unknown shape.

    Args:
        message: One sentence: what was wrong, where, and what to do.
        status: The HTTP status, when there was an answer.

    `body` is HubSpot's own error object, empty where there was none.
    """

    code: ClassVar[str] = "hubspot_refused"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = ErrorBody()


class AuthenticationError(HubSpotError):
    """HubSpot does not accept the token."""

    code = "hubspot_unauthorized"


class MissingScopeError(HubSpotError):
    """The token is good but may not do what was asked."""

    code = "hubspot_missing_scope"


class InconsistentError(HubSpotError):
    """HubSpot's answers contradict themselves, so that something may be missing."""

    code = "hubspot_inconsistent"
    retryable = True


class StopCleanlyError(HubSpotError):
    """HubSpot asks to come back much later: the daily limit, or a data-centre migration."""


class DailyLimitError(StopCleanlyError):
    """The account's requests of the day are used up: run again after its midnight."""

    code = "hubspot_daily_limit"


class DailyReserveError(StopCleanlyError):
    """The run would leave less of the day's requests than is to be kept; it did not start."""

    code = "hubspot_daily_reserve"


class AccountMovingError(StopCleanlyError):
    """The account is on its way to another data centre (477)."""

    code = "hubspot_account_moving"


class TransientError(HubSpotError):
    """No answer or half of one, 423 or 5xx, also after all tries.

    Args:
        message: What happened, for the log and for the end if the tries run out.
        wait: Seconds that HubSpot asked to wait; None where it named none.
        status: The HTTP status, when there was an answer.
    """

    code = "hubspot_unavailable"
    retryable = True

    def __init__(
        self, message: str, *, wait: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.wait = wait


class RateLimitedError(TransientError):
    """More requests than the account allows (429), also after a quarter of an hour.

    Args:
        message: What happened.
        policy: HubSpot's name of the limit.
        wait: Seconds that HubSpot asked to wait; None where it named none.
        pause: Seconds that the thread itself waits. None are needed where the budget, which all
            threads share, was closed for a while.

    Attributes:
        closed: Seconds for which the budget was closed.
    """

    code = "hubspot_rate_limited"

    def __init__(
        self, message: str, *, policy: str, wait: float | None, pause: float = 0.0
    ) -> None:
        super().__init__(message, wait=wait, status=429)
        self.policy = policy
        self.pause = pause
        self.closed = 0.0


class ErrorBody(msgspec.Struct, rename="camel"):
    """HubSpot's error object; every field may be missing on the wire."""

    message: str = ""
    category: str | None = None
    sub_category: Any = None
    error_type: str | None = None
    policy_name: str | None = None
    correlation_id: str | None = None
    errors: list[dict[str, Any]] = []
    context: dict[str, Any] = {}

    def required_scopes(self) -> list[str]:
        """The scopes HubSpot says would do, any one of them (403 MISSING_SCOPES)."""
        scopes: list[str] = []
        for error in self.errors:
            context = error.get("context") or {}
            scopes += context.get("requiredGranularScopes") or context.get("requiredScopes") or []
        return scopes


_decoder = msgspec.json.Decoder(ErrorBody)


def read_error_body(content: bytes) -> ErrorBody:
    """HubSpot's error object from an answer's bytes; HTML and broken JSON give an empty one."""
    try:
        return _decoder.decode(content)
    except msgspec.DecodeError:
        return ErrorBody()


def refuse_partial(errors: Sequence[ErrorBody], *, what: str) -> None:
    """Accept the errors inside a batch's answer only where they are no loss.

    Args:
        errors: One for each kind of error; none where all was read.
        what: What was being read, for the sentence.

    Raises:
        HubSpotError: If one is something else than records that are gone or have no links.
    """
    for error in errors:
        if error.category != "OBJECT_NOT_FOUND":
            raise HubSpotError(f"HubSpot could not read {what}: {error.message[:MESSAGE_LIMIT]}")


def error_for(
    status: int, headers: Mapping[str, str], content: bytes, *, what: str, writes: bool = False
) -> HubSpotError:
    """The exception that fits an answer of 400 or more.

    Args:
        status: The HTTP status.
        headers: The answer's headers, for `Retry-After`.
        content: The answer's body: HubSpot's error object, HTML or anything.
        what: What was being read or written, as it should stand in the sentence: "deals (list)".
        writes: Whether it was being written.

    Returns:
        An exception to raise; its class says how to recover.
    """
    body = read_error_body(content)
    failure = _failure_for(status, headers, body, len(content), what, writes=writes)
    failure.body = body
    return failure


def _failure_for(
    status: int,
    headers: Mapping[str, str],
    body: ErrorBody,
    size: int,
    what: str,
    *,
    writes: bool,
) -> HubSpotError:
    said = body.message[:MESSAGE_LIMIT] or f"no readable message ({size} bytes)"
    reference = f" (correlation id {body.correlation_id})" if body.correlation_id else ""
    wait = retry_after(headers)
    if status == 429:  # noqa: PLR2004
        return _rate_limit_error(body, said, wait, what, writes=writes)
    if status == 477:  # noqa: PLR2004
        hint = f"in {wait:.0f} seconds" if wait else "in up to 24 hours"
        return AccountMovingError(
            f"HubSpot is moving this account to another data centre; run again {hint}. "
            "The state is saved.",
            status=status,
        )
    if status == 423 or (status >= 500 and status not in {525, 526, 530}):  # noqa: PLR2004
        return TransientError(
            f"HubSpot answered {status} for {what}: {said}{reference}", wait=wait, status=status
        )
    if status in {401, 530}:
        return AuthenticationError(
            f"HubSpot refused the credentials while {'writing' if writes else 'reading'} {what} "
            f"({status}: {said}). "
            "Check the setting `access_token` (or `client_id`, `client_secret`, `refresh_token`).",
            status=status,
        )
    if status == 403:  # noqa: PLR2004
        scopes = " or ".join(body.required_scopes()) or "a scope that HubSpot did not name"
        remedy = (
            ", or do without: deselect the stream, or take the object type out of `associations`"
        )
        return MissingScopeError(
            f"The token may not {'write' if writes else 'read'} {what}: it needs {scopes}. "
            f"Add the scope in HubSpot{'' if writes else remedy}.{reference}",
            status=status,
        )
    if status == 414:  # noqa: PLR2004
        said = "the address is too long; name fewer `properties`"
    if status < 400 or (status == 404 and not body.category):  # noqa: PLR2004
        said = f"{said}; check the settings `base_url` and `api_version`"
    return HubSpotError(f"HubSpot answered {status} for {what}: {said}{reference}", status=status)


def _rate_limit_error(
    body: ErrorBody, said: str, wait: float | None, what: str, *, writes: bool
) -> HubSpotError:
    """The daily limit ends the run; the short ones (ten-secondly, secondly) are waited for."""
    policy = (body.policy_name or "").upper()
    if policy == "DAILY" or "daily limit" in body.message.lower():
        return DailyLimitError(
            f"The account's daily limit of HubSpot requests is used up "
            f"({'writing' if writes else 'reading'} {what}). "
            "Run again after midnight in the account's time zone; the state is saved.",
            status=429,
        )
    if not policy:
        ten_secondly = "ten_secondly" in body.message.lower()
        policy = "TEN_SECONDLY_ROLLING" if ten_secondly else "SECONDLY"
    return RateLimitedError(
        f"HubSpot limits requests ({policy}) for {what}: {said}", policy=policy, wait=wait
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`; HubSpot documents seconds for 477 and says nothing for 429."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None
