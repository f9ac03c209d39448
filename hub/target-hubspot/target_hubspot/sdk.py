"""What the target needs of the SDK beyond its public interface, in one place."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import IO, TYPE_CHECKING, Any

from singer_sdk import Target
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.singerlib.encoding import GenericSingerReader
from typing_extensions import override

if TYPE_CHECKING:
    from collections import Counter
    from types import FrameType


class LineTarget(Target):
    """A target that reads its input itself, and decides itself what a signal does."""

    def __init__(self, **options: Any) -> None:
        """Let the SDK hand over its input.

        Args:
            options: What the SDK passes.

        Raises:
            ConfigValidationError: A setting is wrong; the message names it.
        """
        super().__init__(**options)
        self.message_reader = _Reader(self)

    @abstractmethod
    def read(self, source: IO[bytes] | None) -> Counter[str]:
        """Read and handle all messages; count them by type."""

    @abstractmethod
    def heed(self, number: int) -> None:
        """Take note of a signal to stop; called between two instructions of anything."""

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        schemas = self.config_jsonschema["properties"]
        secrets = [name for name, schema in schemas.items() if schema.get("writeOnly")]
        wrong = [each for each in secrets if not isinstance(self._config.get(each, ""), str)]
        if wrong:  # the SDK's sentence would show them
            errors = [f"{name} must be a text" for name in wrong]
            raise ConfigValidationError("Config validation failed", errors=errors)
        return super()._validate_config(raise_errors=raise_errors)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self.heed(signum)


class _Reader(GenericSingerReader[bytes]):
    """Where the SDK asks for messages."""

    def __init__(self, target: LineTarget) -> None:
        super().__init__()
        self._target = target

    @property
    @override
    def default_input(self) -> IO[bytes]:
        return sys.stdin.buffer

    @override
    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        raise NotImplementedError

    @override
    def process_lines(self, file_input: Any, callbacks: Any) -> Counter[str]:
        return self._target.read(file_input)
