"""One aim: what was measured against what was wanted."""

from __future__ import annotations

from dataclasses import dataclass

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Verdict:
    """What was measured against what was wanted."""

    aim: str
    measured: float
    limit: float
    unit: str = TIMES
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        mark = "met" if self.met else "MISSED"
        return [self.aim, f"{self.measured:.2f} {self.unit}", f"{sign} {self.limit:.3g}", mark]
