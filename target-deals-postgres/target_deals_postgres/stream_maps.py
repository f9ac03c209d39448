"""What `stream_maps` may say: the SDK stumbles over other shapes, or tells them of no setting."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import MapExpressionError, StreamMapConfigError
from singer_sdk.mapper import (
    MAPPER_ALIAS_OPTION,
    MAPPER_ELSE_OPTION,
    MAPPER_KEY_PROPERTIES_OPTION,
    MAPPER_SOURCE_OPTION,
    NULL_STRING,
    PluginMapper,
    RemoveRecordTransform,
    StreamMap,
)

from target_deals_postgres.errors import StreamMapError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NULL = f'null or "{NULL_STRING}"'


def judge(config: dict[str, Any]) -> None:
    """Look at the shape of `stream_maps`.

    Args:
        config: The settings; `stream_maps` leaves them where it is null, which the SDK cannot read.

    Raises:
        StreamMapError: If a part of it is no map; the message names all such parts.
    """
    maps = config.get("stream_maps")
    if maps is None:
        config.pop("stream_maps", None)
    elif isinstance(maps, dict) and (faults := list(_faults(maps))):
        raise StreamMapError("; ".join(faults))


def _faults(maps: Mapping[str, Any]) -> Iterator[str]:
    for stream, parts in maps.items():
        if isinstance(parts, Mapping) and stream != MAPPER_ELSE_OPTION:
            for name, part in parts.items():
                if wanted := _lacking(name, part):
                    yield f"stream_maps: {name} of {stream} must be {wanted}"
        elif not _removes(parts):
            more = "" if stream == MAPPER_ELSE_OPTION else ", or an object"
            yield f"stream_maps: {stream} must be {NULL}{more}"


def _lacking(name: str, part: Any) -> str:
    if _removes(part):
        return ""
    if name == MAPPER_ELSE_OPTION:
        return NULL
    if name == MAPPER_KEY_PROPERTIES_OPTION:
        good = isinstance(part, list) and all(isinstance(one, str) for one in part)
        return "" if good else f"{NULL}, or a list of names"
    return "" if isinstance(part, str) and part.strip() else f"{NULL}, or an expression"


def _removes(part: Any) -> bool:
    return part is None or part == NULL_STRING


def register(
    mapper: PluginMapper, stream: str, schema: dict[str, Any], keys: Sequence[str]
) -> None:
    """Let the maps of a stream be made.

    Args:
        mapper: The SDK's.
        stream: As its tap names it.
        schema: Its JSON schema.
        keys: Its key properties.

    Raises:
        StreamMapError: If a map cannot be read, fails, or names its stream by something else than
            a text.
    """
    with applied(stream):
        mapper.register_raw_stream_schema(stream, schema, keys)
    if any(not _is_name(one.stream_alias) for one in mapper.stream_maps[stream]):
        raise StreamMapError(f"__alias__ of {stream} gives no name")


def leading(mapper: PluginMapper, stream: str) -> list[StreamMap]:
    """The maps of a stream that lead to a table.

    Args:
        mapper: The SDK's.
        stream: As its tap names it.
    """
    maps = mapper.stream_maps[stream]
    return [one for one in maps if not isinstance(one, RemoveRecordTransform)]


def sources(maps: Mapping[str, Any], name: str) -> set[str]:
    """Which streams the settings lead to one table, by names or patterns.

    Args:
        maps: What `stream_maps` says.
        name: The table's stream.
    """
    found = set()
    for source, parts in maps.items():
        if isinstance(parts, Mapping) and MAPPER_SOURCE_OPTION not in parts:
            alias = str(parts.get(MAPPER_ALIAS_OPTION) or source)
            if alias.strip("\"' ") == name:  # an expression, or a name as it is
                found.add(source)
    return found


def is_pattern(source: str) -> bool:
    """Whether it may stand for several streams."""
    return any(sign in source for sign in "*?[")


def _is_name(alias: object) -> bool:
    return isinstance(alias, str) and bool(alias)


@contextlib.contextmanager
def applied(stream: str) -> Iterator[None]:
    """Tell of a map that fails by its kind: a sentence of Python's may quote a value.

    Args:
        stream: As its tap names it.

    Raises:
        StreamMapError: If a map fails.
    """
    try:
        yield
    except (MapExpressionError, StreamMapConfigError) as exc:  # these quote the map alone
        raise StreamMapError(str(exc)) from exc
    except Exception as exc:  # an expression may raise anything
        raise StreamMapError(f"{type(exc).__name__} in the maps of {stream}") from exc
