"""All pictures of an export beside the fingerprints of the published rendering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from .check import Examined
from .diagnosis import REFUSED, UNREADABLE, Diagnosis, Status
from .findings import Summary, agreed, summaries
from .reference import Reference


class Comparison(NamedTuple):
    """reference: None where there is nothing to compare with. diagnoses: of the pictures that were
    compared, or cannot be used, put in common terms. summaries: of these."""

    dataset: str
    reference: Reference | None
    found: Sequence[Examined]
    diagnoses: Sequence[Diagnosis]
    summaries: Sequence[Summary]

    @property
    def compared(self) -> int:
        """How many pictures were held against a fingerprint."""
        known = self.reference.prints if self.reference else {}
        return sum((one.picture.side, one.picture.id) in known for one in self.found)

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against any picture: of those that were compared, that all are the
        published rendering."""
        return not any(one.findings for one in self.diagnoses)

    @property
    def unfit(self) -> list[str]:
        """What cannot be read, or the protocol refuses, and why."""
        return [
            f"{one.side} {one.id}: {finding.what}"
            for one in self.diagnoses
            for finding in one.findings
            if finding.kind in (UNREADABLE, REFUSED)
        ]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """By side: how many pictures there are, how many of each status, how many that the
        reference does not know, and how many of its that are not here."""
        counts: dict[str, dict[str, int]] = {}
        for side in dict.fromkeys(one.picture.side for one in self.found):
            ids = {one.picture.id for one in self.found if one.picture.side == side}
            statuses = Counter(one.status for one in self.diagnoses if one.side == side)
            known = {i for s, i in (self.reference.prints if self.reference else ()) if s == side}
            counts[side] = {
                "pictures": len(ids),
                **{status: statuses[status] for status in get_args(Status)},
                "not in the reference": len(ids - known),
                "not here": len(known - ids),
            }
        return counts

    def as_json(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "against": str(self.reference.path) if self.reference else None,
            "origin": self.reference.header.origin if self.reference else None,
            "agrees": self.agrees if self.compared else None,
            "counts": self.counts,
            "findings": [one._asdict() for one in self.summaries],
            "pictures": [
                {
                    "id": one.id,
                    "side": one.side,
                    "status": one.status,
                    "findings": [{"kind": f.kind, "what": f.what} for f in one.findings],
                }
                for one in self.diagnoses
            ],
        }


def compared(
    dataset: str,
    reference: Reference | None,
    found: Sequence[Examined],
    collection: str | None = None,
) -> Comparison:
    """What was found of all pictures, put together. collection: as of `findings.summaries`."""
    diagnoses = agreed([one.diagnosis for one in found if one.diagnosis])
    return Comparison(dataset, reference, found, diagnoses, summaries(diagnoses, collection))
