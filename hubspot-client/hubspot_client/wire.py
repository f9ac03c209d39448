"""HTTP as one run needs it: one address, one pool of connections, little work for each request.

A session of `requests` spends half a millisecond on each request: it merges settings, quotes,
checks and keeps cookies. All of that is the same for every request here, so it is done once, and
only the session's adapter is used, which does the speaking.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from hubspot_client.errors import AuthenticationError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTIONS = 32
TIMEOUT = (10.0, 120.0)
"""Seconds to connect and to read; HubSpot itself gives up after 100 (its status 524)."""

PIECE = 1 << 20
"""Bytes taken at once: pages have a few hundred thousand."""

JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: The HTTP status.
        headers: The headers, in whichever case they are asked for.
        content: The body, unpacked.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Wire:
    """Asks one server; safe to use from many threads.

    Args:
        base_url: Where all requests go. Proxies and certificates for it are read from the
            environment, once. A `.netrc` is not read at all: its password would take the token's
            place.
        user_agent: Who asks, in HubSpot's logs.
        timeout: Seconds to connect and to wait for a piece of an answer.
    """

    def __init__(
        self, base_url: str, *, user_agent: str, timeout: tuple[float, float] = TIMEOUT
    ) -> None:
        self._timeout = timeout
        self._base_url = base_url
        self._user_agent = user_agent
        with requests.Session() as session:
            found = session.merge_environment_settings(base_url, {}, None, None, None)
        self._proxies = found["proxies"]
        self._verify = True if found["verify"] is None else found["verify"]
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=CONNECTIONS)

    def exchange(
        self, method: str, url: str, content: bytes | None, *, token: str, what: str
    ) -> Answer:
        """Send one request and read its answer whole; redirects are not followed.

        Args:
            method: The HTTP method.
            url: Below the base URL, quoted already.
            content: A JSON body; None without.
            token: The bearer token.
            what: What is read, for error messages.

        Raises:
            TransientError: If there is no answer, or only a part of it.
            AuthenticationError: If the token cannot stand in a header.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, content
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": JSON,
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": self._user_agent,
        }
        if content is not None:
            headers |= {"Content-Type": JSON, "Content-Length": str(len(content))}
        request.headers = CaseInsensitiveDict(headers)
        try:
            answer = self._adapter.send(
                request,
                stream=True,
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies,
            )
            pieces = b"".join(answer.iter_content(PIECE))
        except requests.RequestException as exc:
            raise TransientError(
                f"No answer for {what} from {self._base_url} (setting `base_url`): {_reason(exc)}."
            ) from None
        except ValueError:  # says Python's own HTTP, with the token in its message
            raise AuthenticationError(
                "`access_token` holds characters that no token has: copy it again from HubSpot."
            ) from None
        return Answer(answer.status_code, answer.headers, pieces)

    def close(self) -> None:
        """Close the connections; what is on its way is still answered."""
        self._adapter.close()

    def abort(self) -> None:
        """Close the connections; whoever waits for an answer hears that there is none."""
        self._adapter.abort()
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """The adapter of `requests`, which can also end what is on its way.

    Its own time-outs are for one piece of an answer: one byte a second may take for ever.
    """

    def __init__(self, **options: Any) -> None:
        self._lock = threading.Lock()
        self._sockets = WeakSet[socket.socket]()
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """Return the pool of connections to an address, which notes their sockets."""
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        with self._lock:
            if not hasattr(pool.ConnectionCls, "noted"):
                pool.ConnectionCls = self._noting(pool.ConnectionCls)
        return pool

    def _noting(self, kind: Any) -> Any:
        adapter = self

        class Noted(kind):  # type: ignore[misc] # urllib3's own, of HTTP or HTTPS
            noted = True

            def connect(self) -> None:
                super().connect()
                with adapter._lock:
                    adapter._sockets.add(self.sock)

        return Noted

    def abort(self) -> None:
        """End all connections."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with contextlib.suppress(OSError):  # it has ended by itself
                each.shutdown(socket.SHUT_RDWR)


def _reason(exc: Exception) -> str:
    """What kept a request from being answered, without addresses that may hold secrets."""
    if isinstance(exc, requests.exceptions.SSLError):
        return "the TLS certificate was not accepted"
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return "the connection timed out"
    if isinstance(exc, requests.exceptions.Timeout):
        return "it took too long"
    text = str(exc).lower()
    if "name or service not known" in text or "resolve" in text:
        return "there is no such host"
    if "refused" in text:
        return "the connection was refused"
    return "the connection broke"
