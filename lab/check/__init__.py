"""What the guide says, parsed, and the gates that check it without running anything."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a stable code, where, what, how to mend it."""

    code: str
    place: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what} — {self.mend}"
