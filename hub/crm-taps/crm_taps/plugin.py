"""How taps and mapper start: as programs whose every end is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.plugin_base import PluginBase, _ConfigInput
from typing_extensions import override

from crm_taps.ending import leave_log, speaking
from crm_taps.environment import refuse_malformed
from crm_taps.errors import SettingsError
from crm_taps.process import hold_signals, write_whole_lines

if TYPE_CHECKING:
    import click

ConfigInput = _ConfigInput
"""The settings that the command line names."""


class Plugin(PluginBase):
    """What the programs of this package have in common.

    Attributes:
        source: Whom a program reads from, for people.
    """

    source: ClassVar[str] = "The tap"

    @classmethod
    def main(cls) -> None:
        """The program; what its command is made of depends on the environment of now."""
        hold_signals()
        write_whole_lines()
        with speaking(cls.logger, cls.source):
            status = cls._command()(standalone_mode=False)
        leave_log()
        sys.exit(status)

    @classmethod
    def _command(cls) -> click.Command:
        # Making it sets up the log, as the environment says.
        try:
            return cls.cli
        except Exception as exc:
            sentence = f"LOGLEVEL or the file of SINGER_SDK_LOG_CONFIG cannot be used: {exc}"
            raise SettingsError(sentence) from exc

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        cls.append_builtin_config(cls.config_jsonschema)
        refuse_malformed(cls.config_jsonschema["properties"], cls._env_var_prefix)
        return parse_environment_config(cls.config_jsonschema, cls._env_var_prefix)

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> ConfigInput:
        """The settings that the command line names.

        Raises:
            SettingsError: If a file of them cannot be read, or holds no JSON object.
        """
        try:
            return ConfigInput.from_cli_args(*value)
        except (OSError, TypeError, ValueError) as exc:
            sentence = f"A file of --config cannot be read as a JSON object: {exc}"
            raise SettingsError(sentence) from exc
