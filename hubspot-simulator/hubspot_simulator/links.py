"""Which records are linked to which: by rule for generated ones, written down for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubspot_simulator.association_types import AssociationType, AssociationTypes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator.columns import Base

Types = tuple[AssociationType, ...]
Targets = dict[int, Types]


@dataclass(frozen=True)
class LinkRule:
    """Links of generated records, computable from either side.

    Record i of one type is linked to `each` records of the other, in rotation; every
    `unlinked_every`-th has none. The first link is `first`, the others `later`; every fifth
    record's first link has the label too.
    """

    from_base: Base
    to_base: Base
    each: int
    first: Types
    later: Types
    label: Types = ()
    unlinked_every: int = 10

    def _linked(self, position: int) -> bool:
        return not self.unlinked_every or position % self.unlinked_every != self.unlinked_every - 1

    def _types(self, position: int, place: int) -> Types:
        if place:
            return self.later
        return self.first + self.label if position % 5 == 0 else self.first

    def forward(self, object_id: int) -> Targets:
        position = self.from_base.position(object_id)
        targets: Targets = {}
        if position is None or not self._linked(position):
            return targets
        for place in range(self.each):
            target = (position * self.each + place) % self.to_base.count
            targets.setdefault(self.to_base.id_at(target), self._types(position, place))
        return dict(sorted(targets.items()))

    def backward(self, object_id: int) -> Targets:
        target = self.to_base.position(object_id)
        sources: Targets = {}
        if target is None:
            return sources
        for turn in range(target, self.from_base.count * self.each, self.to_base.count):
            position, place = divmod(turn, self.each)
            if self._linked(position):
                source = self.from_base.id_at(position)
                sources.setdefault(source, self._types(position, place))
        return dict(sorted(sources.items()))


class Links:
    """All links of a portal, each known from both of its ends."""

    def __init__(self, types: AssociationTypes) -> None:
        self._rules: dict[tuple[str, str], tuple[LinkRule, bool]] = {}
        self._written: dict[tuple[str, int, str], Targets] = {}
        self._inverse = types.inverse

    def add_rule(self, from_type: str, to_type: str, rule: LinkRule) -> None:
        self._rules[from_type, to_type] = (rule, True)
        self._rules[to_type, from_type] = (rule, False)

    def of(self, from_type: str, from_id: int, to_type: str) -> Targets:
        """Give the linked ids, in their order, with their types."""
        return dict(sorted(self._known(from_type, from_id, to_type).items()))

    def _known(self, from_type: str, from_id: int, to_type: str) -> Targets:
        written = self._written.get((from_type, from_id, to_type))
        if written is not None:
            return written
        rule, is_forward = self._rules.get((from_type, to_type), (None, True))
        if rule is None:
            return {}
        if is_forward:
            return rule.forward(from_id)
        return {
            target: tuple(map(self._inverse, types))
            for target, types in rule.backward(from_id).items()
        }

    def between(self, from_type: str, from_id: int, to_type: str, to_id: int) -> Types:
        """Give the types of one link; none, if there is no such link."""
        return self._known(from_type, from_id, to_type).get(to_id, ())

    def has_primary(self, from_type: str, from_id: int, to_type: str) -> bool:
        """Tell whether one of a record's links is the primary one."""
        known = self._known(from_type, from_id, to_type)
        return any(each.primary for types in known.values() for each in types)

    def set(self, from_type: str, from_id: int, to_type: str, to_id: int, types: Types) -> None:
        """Make these the types of one link; no types, no link."""
        back = tuple(map(self._inverse, types))
        self._write(from_type, from_id, to_type, to_id, types)
        self._write(to_type, to_id, from_type, from_id, back)

    def _write(self, from_type: str, from_id: int, to_type: str, to_id: int, types: Types) -> None:
        key = (from_type, from_id, to_type)
        if key not in self._written:
            self._written[key] = self.of(from_type, from_id, to_type)
        # In place: a record may have as many links as there are records.
        if types:
            self._written[key][to_id] = types
        else:
            self._written[key].pop(to_id, None)

    def partners(self, from_type: str, from_id: int) -> Iterator[str]:
        """Name the object types to which a record may be linked."""
        names = {to for start, to in self._rules if start == from_type}
        names |= {to for start, each, to in self._written if (start, each) == (from_type, from_id)}
        yield from sorted(names)
