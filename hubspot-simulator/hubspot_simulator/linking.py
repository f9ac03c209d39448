"""Links between records, as people make, label and take them away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_simulator.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubspot_simulator.records import Records

Id = str | int


class Linking(Account):
    """An account whose records can be linked, also while they are read."""

    def inherit_links(self, records: Records, new: int, old: tuple[int, int]) -> None:
        """Give a merged record the links of those that it is made of."""
        name = records.type.name
        for source in old:
            for partner in list(self.links.partners(name, source)):
                taken = self.links.of(name, new, partner)
                has_primary = any(each.primary for types in taken.values() for each in types)
                for target, types in self.links.of(name, source, partner).items():
                    # HubSpot changelog: excess primary links of the secondary are dropped.
                    kept = [each for each in types if not (has_primary and each.primary)]
                    both = dict.fromkeys((*taken.get(target, ()), *kept))
                    self.links.set(name, new, partner, target, tuple(both))

    def link(
        self,
        from_type: str,
        from_id: Id,
        to_type: str,
        to_id: Id,
        *,
        label: str | None = None,
        primary: bool | None = None,
    ) -> None:
        """Link two records; a first company becomes the primary one unless told otherwise."""
        with self.lock:
            start, end = self.types.resolve(from_type), self.types.resolve(to_type)
            wanted = [self.association_types.unlabeled(start, end)]
            main = self.association_types.primary(start, end)
            if main is not None:
                if primary is None:
                    primary = not self.links.has_primary(start.name, int(from_id), end.name)
                if primary:
                    wanted.insert(0, main)
            if label is not None:
                wanted.append(self.association_types.labeled(start, end, label))
            before = self.links.between(start.name, int(from_id), end.name, int(to_id))
            types = dict.fromkeys((*before, *wanted))
            self.links.set(start.name, int(from_id), end.name, int(to_id), tuple(types))

    def unlink(self, from_type: str, from_id: Id, to_type: str, to_id: Id) -> None:
        with self.lock:
            start, end = self.types.resolve(from_type), self.types.resolve(to_type)
            self.links.set(start.name, int(from_id), end.name, int(to_id), ())

    def relabel(
        self, from_type: str, from_id: Id, to_type: str, to_id: Id, labels: Iterable[str]
    ) -> None:
        """Give a link exactly these labels of the portal; HubSpot's own types stay."""
        with self.lock:
            start, end = self.types.resolve(from_type), self.types.resolve(to_type)
            present = self.links.of(start.name, int(from_id), end.name)[int(to_id)]
            kept = [each for each in present if each.label is None or each.primary]
            added = [self.association_types.labeled(start, end, label) for label in labels]
            self.links.set(start.name, int(from_id), end.name, int(to_id), (*kept, *added))
