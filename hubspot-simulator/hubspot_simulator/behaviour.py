"""What HubSpot does not document or does differently at times, as switches of a portal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Behaviour:
    """How a portal answers where HubSpot leaves it open.

    Every `*_every` counts the list requests of the portal: 3 means every third.
    """

    # Lists
    opaque_cursors: bool = False  # `after` is no record id
    bare_cursor_restarts: bool = False  # an unknown cursor starts over instead of answering 400
    unordered_list: bool = False  # a stable order that is not ascending by id
    search_totals: bool = True  # how many there are; a few answers do not tell (observed)
    unordered_searches: int = 0  # so many of the next searches come in reverse (seen by Estuary)
    short_page_every: int = 0  # a page with fewer records than asked for, and a cursor
    empty_page_every: int = 0  # a page without records, and a cursor (at least 2)
    inline_association_page: int = 100
    stuck_cursors: bool = False  # the next page is always this one; links and owners alike
    no_archived_list: tuple[str, ...] = ()  # types that answer 400 to `archived=true` (reported)
    # Search
    search_body_limit: int | None = None  # documented as 3,000, not enforced as seen
    # Batch reads
    shuffled_batches: bool = True
    batch_resolves_merged: bool = False
    history_versions: int = 20  # of a property of any type but contacts, which have 45
    archived_history: bool = True  # archived records come with their history
    batch_forgets_every: int = 0  # an id of each so many is neither found nor named as missing
    # Associations
    association_page: int = 500
    numeric_to_object_id: bool = True  # observed a number, described as a string
    # Writes
    multi_status: int = 0  # of a batch with errors; 0: 207, since 2026-09 the ordinary one
    echo_trace_ids: bool = True  # in the schema, but not in every recording
    conflict_names_id: bool = True  # in a 409's text; not always
    aliases_collide: bool = True  # two addresses of one contact in one batch
    unique_emails: bool = True  # a few accounts refuse `email` as a key
    requires_basics: bool = True  # documented; some accounts take deals without a stage
    # All
    json_scalars: bool = False  # ids and values come as JSON numbers and booleans (observed)
    url_limit: int = 16_384
    compressed: bool = False  # gzip for those who accept it, which costs time here
    restore_touches_modified: bool = False
