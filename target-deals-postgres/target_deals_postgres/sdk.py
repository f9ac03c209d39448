"""What the target needs of the SDK beyond its public interface, in one place.

A test of its own fails when an upgrade of the SDK moves one of these.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from difflib import get_close_matches
from typing import IO, TYPE_CHECKING, Any

from singer_sdk import Target
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._batch import BatchFileFormat, StorageTarget
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.singerlib.encoding import GenericSingerReader
from typing_extensions import override

from target_deals_postgres import stream_maps
from target_deals_postgres.environment import refuse_malformed, refuse_odd_secrets
from target_deals_postgres.process import release_signals

if TYPE_CHECKING:
    from collections import Counter
    from types import FrameType

__all__ = ["BatchFileFormat", "ByteTarget", "StorageTarget"]


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
        cls.append_builtin_config(cls.config_jsonschema)
        refuse_malformed(cls.config_jsonschema["properties"], cls._env_var_prefix)
        return parse_environment_config(cls.config_jsonschema, cls._env_var_prefix)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        stream_maps.judge(self._config)
        schemas = self.config_jsonschema["properties"]
        refuse_odd_secrets(schemas, self._config)
        found = super()._validate_config(raise_errors=raise_errors)
        for name in sorted(self._config.keys() - schemas.keys()):
            meant = "".join(f" Is {one} meant?" for one in get_close_matches(name, schemas, 1))
            self.logger.warning("There is no setting %s: it has no effect.%s", name, meant)
        return found

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
