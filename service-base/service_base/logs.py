"""Knows how a service writes its log: one JSON object per line, with the correlation id."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Literal

import structlog
from asgi_correlation_id import correlation_id

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

# Nothing logs a secret on purpose; this is for the library that one day puts one in a message.
_SECRET = re.compile(
    r"(pat-[a-z]{2}\d?-|sk_live_|Bearer\s+)[^\s\"',@]{4,}|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
)


def _add_correlation_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if value := correlation_id.get():
        event["correlation_id"] = value
    return event


def mask(text: str) -> str:
    """Replace whatever looks like a token, an API key or a password in a URL."""
    return _SECRET.sub(lambda found: f"{found[1] or ''}***", text)


def _mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = mask(value)
    return event


def configure(form: Literal["json", "console"] = "json", level: int = logging.INFO) -> None:
    """Send a service's and all its libraries' log lines to stderr in one form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_correlation_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # As plain text, for the mask to see: pretty tracebacks show local variables.
                structlog.processors.format_exc_info,
                _mask_secrets,
                ending,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True


def logger(name: str) -> Any:
    """Return a logger bound to a module."""
    return structlog.stdlib.get_logger(name)
