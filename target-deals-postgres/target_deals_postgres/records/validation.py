"""Whether a record is valid by its stream's JSON schema, where `validate_records` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import InvalidRecord
from singer_sdk.sinks.core import JSONSchemaValidator

from target_deals_postgres.errors import InputError
from target_deals_postgres.records.values import UnfitError, loads

if TYPE_CHECKING:
    from target_deals_postgres.records.messages import Message


class Validator:
    """Judges the records of one stream."""

    def __init__(self, stream: str, schema: dict[str, Any]) -> None:
        """Prepare.

        Args:
            stream: its name.
            schema: its JSON schema.
        """
        self._stream = stream
        self._judge = JSONSchemaValidator(schema)

    def validate(self, message: Message) -> None:
        """Judge a record; it is parsed then.

        Raises:
            UnfitError: it is not valid, or nobody can judge it.
            InputError: the schema itself can judge nothing.
        """
        if message.parsed is None:
            message.parsed = loads(bytes(message.record))
        try:
            self._judge.validate(message.parsed)
        except InvalidRecord as error:
            raise UnfitError(f"not valid by its schema: {error.error_message}") from None
        except ArithmeticError:
            raise UnfitError("not valid by its schema: a number that cannot be judged") from None
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - of a pattern or a reference, whoever reads it
            raise InputError(
                f"the SCHEMA of stream {self._stream} cannot judge records ({error}): mend it, or "
                "do without validate_records"
            ) from None
