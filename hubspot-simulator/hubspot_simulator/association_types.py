"""Association types: HubSpot's own ones, and the labels that a portal adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubspot_simulator.object_types import ObjectType

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
USER_DEFINED = "USER_DEFINED"

# from, to, type id, type id of the way back. HubSpot docs: "Associations v4 guide".
UNLABELED = (
    ("deals", "contacts", 3, 4),
    ("deals", "companies", 341, 342),
    ("deals", "tickets", 27, 28),
    ("deals", "deals", 451, 451),
    ("deals", "line_items", 19, 20),
    ("deals", "quotes", 63, 64),
    ("deals", "notes", 213, 214),
    ("deals", "tasks", 215, 216),
    ("deals", "calls", 205, 206),
    ("deals", "emails", 209, 210),
    ("deals", "meetings", 211, 212),
    ("deals", "communications", 86, 85),
    ("contacts", "companies", 279, 280),
    ("contacts", "tickets", 15, 16),
    ("tickets", "companies", 339, 340),
    ("contacts", "contacts", 449, 449),
    ("companies", "companies", 450, 450),
    ("tickets", "tickets", 452, 452),
    ("contacts", "notes", 201, 202),
    ("companies", "notes", 189, 190),
    ("tickets", "notes", 227, 228),
    ("contacts", "tasks", 203, 204),
    ("companies", "tasks", 191, 192),
    ("tickets", "tasks", 229, 230),
    ("contacts", "meetings", 199, 200),
    ("companies", "meetings", 187, 188),
    ("tickets", "meetings", 225, 226),
)
PRIMARY = (
    ("deals", "companies", 5, 6),
    ("contacts", "companies", 1, 2),
    ("tickets", "companies", 26, 25),
)


Pair = tuple[str, str]


@dataclass(frozen=True)
class AssociationType:
    """One way in which records of one type are linked to records of another.

    Ids are unique within a category only.
    """

    type_id: int
    category: str
    label: str | None
    name: str
    from_type: str
    to_type: str
    inverse_id: int
    primary: bool = False


class AssociationTypes:
    """The association types of a portal, by pair of object types."""

    def __init__(self) -> None:
        self._by_pair: dict[Pair, dict[tuple[str, int], AssociationType]] = {}
        self._labels = 0

    def of(self, from_type: ObjectType, to_type: ObjectType) -> list[AssociationType]:
        if (from_type.name, to_type.name) not in self._by_pair:
            self._define(from_type, to_type)
        return list(self._by_pair[from_type.name, to_type.name].values())

    def inverse(self, association_type: AssociationType) -> AssociationType:
        pair = (association_type.to_type, association_type.from_type)
        return self._by_pair[pair][association_type.category, association_type.inverse_id]

    def unlabeled(self, from_type: ObjectType, to_type: ObjectType) -> AssociationType:
        return next(each for each in self.of(from_type, to_type) if each.label is None)

    def primary(self, from_type: ObjectType, to_type: ObjectType) -> AssociationType | None:
        return next((each for each in self.of(from_type, to_type) if each.primary), None)

    def labeled(self, from_type: ObjectType, to_type: ObjectType, label: str) -> AssociationType:
        for each in self.of(from_type, to_type):
            if each.label == label:
                return each
        raise ValueError(f"No label {label!r} from {from_type.name} to {to_type.name}")

    def add_label(
        self, from_type: ObjectType, to_type: ObjectType, label: str, inverse: str | None = None
    ) -> AssociationType:
        """Add a label with its other side; both get an id of their own."""
        self.of(from_type, to_type)
        pair = (from_type.name, to_type.name)
        self._labels += 2
        there, back = self._labels - 1, self._labels
        self._put(pair, USER_DEFINED, (there, back), (label, inverse or label), ("", ""))
        return self._by_pair[pair][USER_DEFINED, there]

    def _put(
        self,
        pair: Pair,
        category: str,
        ids: tuple[int, int],
        labels: tuple[str | None, str | None],
        names: tuple[str, str],
        *,
        primary: bool = False,
    ) -> None:
        """Write down one type and its other side."""
        start, end = pair
        for (from_type, to_type), (number, back), label, name in (
            ((start, end), ids, labels[0], names[0]),
            ((end, start), ids[::-1], labels[1], names[1]),
        ):
            slug = name or "_".join((label or "").lower().split())
            self._by_pair.setdefault((from_type, to_type), {})[category, number] = AssociationType(
                number, category, label, slug, from_type, to_type, back, primary
            )

    def _define(self, from_type: ObjectType, to_type: ObjectType) -> None:
        pair = (from_type.name, to_type.name)
        forth = f"{from_type.singular}_to_{to_type.singular}"
        home = f"{to_type.singular}_to_{from_type.singular}"
        number = 2000 + 2 * len(self._by_pair)
        suffix = ""
        primary = _known(PRIMARY, pair)
        if primary:
            # The wire calls the primary one by the plain name and the other one "unlabeled".
            labels = ("Primary", "Primary")
            self._put(pair, HUBSPOT_DEFINED, primary, labels, (forth, home), primary=True)
            suffix = "_unlabeled"
        ids, category = _known(UNLABELED, pair), HUBSPOT_DEFINED
        if ids is None:
            # HubSpot docs: links of custom objects are USER_DEFINED with ids of the portal.
            category = USER_DEFINED if from_type.custom or to_type.custom else HUBSPOT_DEFINED
            ids = (number, number if from_type == to_type else number + 1)
        self._put(pair, category, ids, (None, None), (forth + suffix, home + suffix))


def _known(table: tuple[tuple[str, str, int, int], ...], pair: Pair) -> tuple[int, int] | None:
    for from_type, to_type, there, back in table:
        if pair == (from_type, to_type):
            return there, back
        if pair == (to_type, from_type):
            return back, there
    return None
