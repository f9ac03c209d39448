"""The part of docs/figures.md that is made from the functions themselves.

`python -m harness.figures_page` writes it; a test fails when it is stale.
"""

from __future__ import annotations

import re

from hubspot_figures.functions import statements

from harness.meltano import ROOT

PAGE = ROOT / "docs/figures.md"
BEGIN, END = "<!-- functions -->", "<!-- /functions -->"


def fresh() -> str:
    """The page with the functions as they are."""
    parts = [
        f"### {name}\n\n{sentence[0].upper()}{sentence[1:]}\n\n```sql\n{statement}\n```"
        for name, (sentence, statement) in statements().items()
    ]
    made = "\n\n".join((BEGIN, *parts, END))
    return re.sub(f"{BEGIN}.*{END}", lambda _: made, PAGE.read_text(), flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(fresh())
