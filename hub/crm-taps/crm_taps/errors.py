"""What ends a run: a sentence for the person who has to act, and a code for programs.

SourceError
├── SettingsError          a setting is missing or makes no sense
├── UnauthorizedError      the source does not accept the credentials
├── ForbiddenError         the credentials are good but may not read this
├── RefusedError           the request is wrong in another way; trying again does not help
├── InconsistentError      the answers contradict what the source documents, or themselves
├── RateLimitedError       more requests than the source allows; fatal when the tries are used up
├── UnavailableError       the source does not work right now; fatal when the tries are used up
├── InputError             a line of the input cannot be understood, or not be limited
├── StateError             the state that was passed in cannot be used
├── StreamMapError         a stream map cannot be used
├── TargetGoneError        the messages cannot be written
├── InterruptedRunError    a signal ended the run
└── UnexpectedError        a fault of the tap
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if TYPE_CHECKING:
    import requests

MESSAGE_LIMIT = 200


class SourceError(Exception):
    """Ends the run with its message, without a traceback.

    Attributes:
        code: What programs know it by; docs/codes.md lists all.
        retryable: Whether the same run may succeed later, with nothing changed.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False


class SettingsError(SourceError):
    """A setting is missing or makes no sense; the message names it."""

    code = "settings_invalid"


class UnauthorizedError(SourceError, FatalAPIError):
    """The source does not accept the credentials."""

    code = "source_unauthorized"


class ForbiddenError(SourceError, FatalAPIError):
    """The credentials are good but may not read what was asked."""

    code = "source_forbidden"


class RefusedError(SourceError, FatalAPIError):
    """The source refuses the request, and would again."""

    code = "source_refused"


class InconsistentError(SourceError, FatalAPIError):
    """The source's answer is not what its documentation says, or contradicts an earlier one."""

    code = "source_inconsistent"
    retryable = True


class InputError(SourceError):
    """A line of the input is no Singer message, or one that cannot be limited."""

    code = "input_invalid"


class StateError(SourceError):
    """The state that was passed in cannot be used."""

    code = "state_invalid"


class StreamMapError(SourceError):
    """A stream map cannot be read, or fails."""

    code = "stream_map_failed"


class TargetGoneError(SourceError):
    """The messages cannot be written: nobody reads them any more, or a disk is full."""

    code = "target_gone"
    retryable = True


class InterruptedRunError(SourceError):
    """A signal ended the run; the state of what was read is written."""

    code = "interrupted"
    retryable = True


class UnexpectedError(SourceError):
    """Something that the tap does not know; the log has the traceback."""

    code = "unexpected"


class RateLimitedError(SourceError, RetriableAPIError):
    """More requests than the source allows."""

    code = "source_rate_limited"
    retryable = True


class UnavailableError(SourceError, RetriableAPIError):
    """The source does not answer, or answers that it cannot."""

    code = "source_unavailable"
    retryable = True


REFUSALS: dict[int, tuple[type[SourceError], str]] = {
    401: (UnauthorizedError, "check the credentials in the settings"),
    403: (
        ForbiddenError,
        "the credentials may not read this; give them the right, or deselect the stream",
    ),
    404: (RefusedError, "this account has no such list; deselect the stream, or check `base_url`"),
}


def error_for(response: requests.Response, *, source: str, what: str) -> SourceError | None:
    """The exception that fits an answer; None where it is a good one.

    Args:
        response: The answer. Of its body, a short piece of plain text may stand in the sentence.
        source: Who answered: "CallRail".
        what: What was being read: "calls".
    """
    status = response.status_code
    if status < 300 or status == 304:  # noqa: PLR2004
        return None
    told = f"{source} answered {status} for {what}"
    if status == 429:  # noqa: PLR2004
        return RateLimitedError(f"{told}: more requests than it allows.", response)
    if status >= 500 or status in {408, 423, 425}:  # noqa: PLR2004
        return UnavailableError(f"{told}: {said(response)}.", response)
    kind, advice = REFUSALS.get(status, (RefusedError, said(response)))
    if status < 400:  # noqa: PLR2004
        # Followed, a redirection might carry the credentials to another host.
        advice = "a redirection, where none is due; check the setting `base_url`"
    return kind(f"{told}: {advice}.")


def said(response: requests.Response) -> str:
    """What an answer says for itself, on one line, as far as people can read it."""
    text = " ".join(response.text.split()) if response.content else ""
    if not text or text.startswith("<"):
        return f"no readable message ({len(response.content)} bytes)"
    return text[:MESSAGE_LIMIT].rstrip(".")
