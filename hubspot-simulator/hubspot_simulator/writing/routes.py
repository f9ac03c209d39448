"""The paths that write, under both path families."""

from __future__ import annotations

from hubspot_simulator.writing import batches, links, singles

OBJECTS = ("/crm/v3/objects", "/crm/objects/{version:dated}")
LINKED_OBJECTS = ("/crm/v4/objects", "/crm/objects/{version:dated}")
ASSOCIATIONS = ("/crm/v4/associations", "/crm/associations/{version:dated}")
PROPERTIES = ("/crm/v3/properties", "/crm/properties/{version:dated}")
LINK = "/{object_type}/{object_id}/associations/"


def _under(roots: tuple[str, ...], rest: str) -> tuple[str, ...]:
    return tuple(root + rest for root in roots)


# Method, endpoint, responder, paths.
WRITING = (
    (
        "POST",
        "batch_create",
        batches.create_batch,
        _under(OBJECTS, "/{object_type}/batch/create"),
    ),
    (
        "POST",
        "batch_update",
        batches.update_batch,
        _under(OBJECTS, "/{object_type}/batch/update"),
    ),
    (
        "POST",
        "batch_upsert",
        batches.upsert_batch,
        _under(OBJECTS, "/{object_type}/batch/upsert"),
    ),
    (
        "POST",
        "batch_archive",
        batches.archive_batch,
        _under(OBJECTS, "/{object_type}/batch/archive"),
    ),
    ("POST", "create", singles.create_record, _under(OBJECTS, "/{object_type}")),
    ("PATCH", "update", singles.update_record, _under(OBJECTS, "/{object_type}/{object_id}")),
    ("DELETE", "archive", singles.archive_record, _under(OBJECTS, "/{object_type}/{object_id}")),
    (
        "POST",
        "link",
        links.link_default,
        _under(ASSOCIATIONS, "/{from_type}/{to_type}/batch/associate/default"),
    ),
    ("POST", "link", links.link_typed, _under(ASSOCIATIONS, "/{from_type}/{to_type}/batch/create")),
    (
        "POST",
        "unlink",
        links.unlink_all,
        _under(ASSOCIATIONS, "/{from_type}/{to_type}/batch/archive"),
    ),
    (
        "POST",
        "unlink",
        links.unlink_types,
        _under(ASSOCIATIONS, "/{from_type}/{to_type}/batch/labels/archive"),
    ),
    (
        "PUT",
        "link",
        links.link_one_default,
        _under(LINKED_OBJECTS, LINK + "default/{to_type}/{to_id}"),
    ),
    ("PUT", "link", links.link_one_typed, _under(LINKED_OBJECTS, LINK + "{to_type}/{to_id}")),
    ("DELETE", "unlink", links.unlink_one, _under(LINKED_OBJECTS, LINK + "{to_type}/{to_id}")),
    ("POST", "define", singles.define_property, _under(PROPERTIES, "/{object_type}")),
    ("PATCH", "define", singles.change_property, _under(PROPERTIES, "/{object_type}/{name}")),
    (
        "POST",
        "define",
        singles.define_properties,
        _under(PROPERTIES, "/{object_type}/batch/create"),
    ),
)
