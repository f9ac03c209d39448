"""What the target needs of the SDK beyond its public interface, in one place.

A test of its own fails when an upgrade of the SDK moves one of these.
"""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from typing import IO, TYPE_CHECKING, Any

from singer_sdk import Target
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._batch import BatchFileFormat, StorageTarget
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.singerlib.encoding import GenericSingerReader
from typing_extensions import override

from target_deals_postgres import stream_maps
from target_deals_postgres.process import release_signals

if TYPE_CHECKING:
    from collections import Counter
    from types import FrameType

__all__ = ["BatchFileFormat", "ByteTarget", "StorageTarget"]

BOOLEANS = {"true", "1", "yes", "on", "false", "0", "no", "off"}


class ByteTarget(Target):
    """A target that reads its input itself, as bytes, and decides itself what a signal does."""

    def __init__(self, **options: Any) -> None:
        """Let the SDK hand over its input.

        Args:
            options: what the SDK passes.

        Raises:
            ConfigValidationError: a setting is wrong; the message names it.
        """
        super().__init__(**options)
        release_signals()
        self.message_reader = _Reader(self)

    @abstractmethod
    def read(self, source: IO[str] | None) -> Counter[str]:
        """Read and handle all messages.

        Args:
            source: where from; None for standard input.

        Returns:
            How many messages of each type were read.
        """

    @abstractmethod
    def heed(self, number: int) -> None:
        """Take note of a signal to stop; called between two instructions of anything."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        # Settings from the environment, each with its name if it has the wrong form: the SDK would
        # stumble without it, or take it for false.
        cls.append_builtin_config(cls.config_jsonschema)
        found: dict[str, Any] = {}
        errors = []
        for name, schema in cls.config_jsonschema["properties"].items():
            variable = f"{cls._env_var_prefix}{name.upper()}"
            text = os.environ.get(variable, "true").lower()
            try:
                one = {"properties": {name: schema}}
                found |= parse_environment_config(one, cls._env_var_prefix)
                if "boolean" in (schema.get("type") or ()) and text not in BOOLEANS:
                    errors.append(f"{name} (from {variable}) is {text!r}, neither true nor false")
            except ValueError as error:
                errors.append(f"{name} (from {variable}) cannot be read: {error}")
        if errors:
            raise ConfigValidationError("Config validation failed", errors=errors)
        return found

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        stream_maps.judge(self._config)
        schemas = self.config_jsonschema["properties"]
        secrets = [name for name, schema in schemas.items() if schema.get("writeOnly")]
        wrong = [one for one in secrets if not isinstance(self._config.get(one), str | None)]
        if wrong:  # the SDK's sentence would show them
            errors = [f"{name} must be a text" for name in wrong]
            raise ConfigValidationError("Config validation failed", errors=errors)
        return super()._validate_config(raise_errors=raise_errors)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self.heed(signum)


class _Reader(GenericSingerReader[bytes]):
    """Where the SDK asks for messages."""

    def __init__(self, target: ByteTarget) -> None:
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
