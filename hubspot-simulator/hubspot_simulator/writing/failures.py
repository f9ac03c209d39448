"""How a write is refused: one input's failure, and what the whole call then answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hubspot_simulator.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.writing.values import Flaw

Context = dict[str, list[str]]


class Failure(Exception):  # noqa: N818 - one input's, not the call's
    """One input that cannot be written.

    Args:
        status: Of the whole call, where this input refuses it.
        category: HubSpot's word.
        message: For one input.
        context: What the error names, but for the trace id.
        flaws: The faults of its values.
        sub_category: HubSpot's finer word.
    """

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        context: Context | None = None,
        flaws: Sequence[Flaw] = (),
        sub_category: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.context = context or {}
        self.flaws = list(flaws)
        self.sub_category = sub_category

    def as_error(self, trace_id: str | None) -> dict[str, Any]:
        """Give the error that stands in a batch's answer."""
        context = dict(self.context)
        if trace_id is not None:
            context = {"objectWriteTraceId": [trace_id], **context}
        error: dict[str, Any] = {
            "status": "error",
            "category": self.category,
            "message": str(self),
            "context": context,
        }
        if self.sub_category:
            error["subCategory"] = self.sub_category
        if self.flaws:
            error["errors"] = [flaw.detailed() for flaw in self.flaws]
        return error


def of_flaws(flaws: Sequence[Flaw]) -> Failure:
    listed = json.dumps([flaw.listed() for flaw in flaws], ensure_ascii=False)
    message = f"Property values were not valid: {listed}"
    return Failure(400, "VALIDATION_ERROR", message, flaws=flaws)


def refusal(failures: Sequence[Failure]) -> ApiError:
    """Refuse the whole call: one list of all faults, which never says whose they are."""
    flaws = list({flaw: None for failure in failures for flaw in failure.flaws})
    first = failures[0]
    if not flaws:
        error = ApiError(first.status, str(first), category=first.category)
        if first.context:
            error.body["context"] = first.context
        return error
    return ApiError(
        400,
        str(of_flaws(flaws)),
        category="VALIDATION_ERROR",
        errors=[flaw.detailed() for flaw in flaws],
    )


def conflict(object_type: ObjectType, existing: int | None) -> Failure:
    """Another record has this address already; the id is in the text only, and not always."""
    name = object_type.singular.capitalize()
    message = f"{name} already exists"
    if existing is None:
        return Failure(409, "CONFLICT", message)
    context = {"existingId": [str(existing)]}
    return Failure(409, "CONFLICT", f"{message}. Existing ID: {existing}", context=context)


def objects_missing(object_type: ObjectType, ids: list[str]) -> Failure:
    kind = object_type.singular.upper()
    message = (
        f"Could not get some {kind} objects, they may be deleted or not exist. "
        "Check that ids are valid."
    )
    return Failure(404, "OBJECT_NOT_FOUND", message, context={"ids": ids})


def duplicate_ids(ids: list[str]) -> ApiError:
    told = ", ".join(ids)
    message = f"Duplicate IDs found in batch input: [{told}]. IDs must be unique"
    return ApiError(400, message, category="VALIDATION_ERROR", context={"ids": ids})


def not_unique(object_type: ObjectType, name: str) -> ApiError:
    return invalid(
        f"Unable to perform update/upsert by non-unique {object_type.type_id} property {name}"
    )
