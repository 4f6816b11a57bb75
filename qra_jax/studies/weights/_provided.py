"""Evidence of why something is so, which says nothing unless it is so."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.lab.evidence import HOLDS, OPEN, UNKNOWN, All, Verdict


@dataclass(frozen=True)
class Provided(lab.Evidence):
    """Evidence that counts where other evidence holds; elsewhere the claim is open."""

    condition: lab.Evidence
    part: lab.Evidence

    @property
    def free(self) -> tuple[str, ...]:
        """Axes of the part."""
        return self.part.free

    def outcome(self, level: float) -> xr.DataArray:
        """That of the part, or open."""
        return self._masked(self.part.outcome(level), level)

    def elements(self, level: float) -> xr.DataArray:
        """Those of the part, or open."""
        return self._masked(self.part.elements(level), level)

    def kept(self, level: float) -> xr.DataArray:
        """Those of the part, or open."""
        return self._masked(self.part.kept(level), level)

    def rules(self, level: float) -> list[str]:
        """Those of the part."""
        return self.part.rules(level)

    def tests(self) -> list[lab.Test]:
        """Those of both."""
        return [*self.condition.tests(), *self.part.tests()]

    def comparisons(self) -> int:
        """Of both."""
        return self.condition.comparisons() + self.part.comparisons()

    def decide(self, level: float) -> Verdict:
        """The verdict; where the condition is not met, what was measured of it is the reason."""
        every = self.condition.parts if isinstance(self.condition, All) else (self.condition,)
        unmet = [
            f"{one.measured(level)}, not {one.predicted().rpartition(': ')[2]}"
            for one in every
            if one.decide(level).kind != HOLDS
        ]
        if unmet:
            return Verdict(OPEN, f"its condition is not met ({'; '.join(unmet)})")
        return super().decide(level)

    def _masked(self, outcome: xr.DataArray, level: float) -> xr.DataArray:
        return outcome if self.condition.decide(level).kind == HOLDS else xr.full_like(outcome, UNKNOWN)
