"""What the target needs of the SDK beyond its public interface, in one place."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import IO, TYPE_CHECKING, Any

from singer_sdk import Target
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.singerlib.encoding import GenericSingerReader
from typing_extensions import override

from target_hubspot import stream_maps
from target_hubspot.environment import refuse_malformed, refuse_odd_secrets
from target_hubspot.process import release_signals

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
        release_signals()
        self.message_reader = _Reader(self)

    @abstractmethod
    def read(self, source: IO[bytes] | None) -> Counter[str]:
        """Read and handle all messages; count them by type."""

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
        refuse_odd_secrets(self.config_jsonschema["properties"], self._config)
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
