"""A picture of a claim's evidence from its record alone: each estimate with its interval, on the claim's region."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from qra_jax.claims.changes import places, values
from qra_jax.claims.records import flat

WIDE = 50.0
"""Ratio of the greatest to the least number from which a scale of positive numbers is logarithmic."""
_CLASSES = {1: "holds", -1: "fails", 0: "open"}


class Scale:
    """Where numbers lie between the left (0) and the right end (100) of a picture, in per cent.

    Args:
      numbers: that are to be seen; those that are not finite lie at the ends.
    """

    def __init__(self, numbers: list[float]) -> None:
        known = [x for x in numbers if math.isfinite(x)] or [0.0]
        low, high = min(known), max(known)
        self.log = low > 0 and high > WIDE * low
        low, high = self._turn(low), self._turn(high)
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        self.low, self.high = low - margin, high + margin

    def _turn(self, x: float) -> float:
        return math.log10(x) if self.log else x

    def at(self, x: float) -> float:
        """Where a number lies."""
        if not math.isfinite(x) or (self.log and x <= 0):
            return 100.0 if x > 0 else 0.0
        return min(max(100 * (self._turn(x) - self.low) / (self.high - self.low), 0.0), 100.0)

    def ticks(self) -> list[float]:
        """Round numbers along it."""
        span = self.high - self.low
        if self.log and span >= 2:
            step = math.ceil(span / 5)
            return [10.0**k for k in range(math.ceil(self.low), math.floor(self.high) + 1, step)]
        if self.log:
            found = [
                m * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high) + 1) for m in (1, 2, 5)
            ]
            return [x for x in found if 3 <= self.at(x) <= 97]
        rough = span / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step) + 1)]


def draw(evidence: dict[str, Any]) -> str:
    """One comparison of a record as HTML with inline SVG: a row for each element.

    Args:
      evidence: an entry of a record's `evidence`.

    Returns:
      A `figure`; its numbers are also there as text.
    """
    rows, names = values(evidence), places(evidence)
    bounds = [[float(x) for x in flat(bound)] for bound in evidence["region"]]
    percent = "%" in evidence["expectation"]
    scale = Scale([x for row in rows for x in row] + [x for bound in bounds for x in bound])
    large = isinstance(evidence["outcome"], dict)
    flags = [None] * len(rows) if large else flat(evidence["outcome"])
    one = all(len(bound) == 1 for bound in bounds)
    band = _band(scale, bounds[0][0], bounds[1][0]) if one else ""
    body = "".join(
        _row(name, row, _CLASSES.get(flag, "known") if flag is not None else "known", scale, band, percent)
        for name, row, flag in zip(names, rows, flags, strict=True)
    )
    notes = [] if one else ["The region differs from row to row, so it is not drawn."]
    if large:
        counts = evidence["outcome"]
        told = ", ".join(f"{what} in {counts[what]}" for what in ("holds", "fails", "open") if counts[what])
        notes.append(f"The extremes of {sum(counts.values())} places: {told}.")
    exact = evidence["how"] == "exact"
    notes.append("Exact: without sampling error." if exact else f"{evidence['how']}, n = {evidence['n']}.")
    notes += ["Logarithmic scale."] * scale.log
    caption = (
        f"<figcaption><b>{escape(evidence['quantity'])}</b> "
        f"<span class=region>predicted: {escape(evidence['expectation'])}</span></figcaption>"
    )
    below = f"{_axis(scale, percent)}<p class=note>{escape(' '.join(notes))}</p>"
    return f"<figure class=evidence>{caption}{body}{below}</figure>\n"


def _band(scale: Scale, low: float, high: float) -> str:
    """The region, at least a line wide."""
    left, right = scale.at(low), scale.at(high)
    if right - left < 0.5:
        left, right = left - 0.25, right + 0.25
    return f'<rect class=band x="{left:.2f}%" width="{right - left:.2f}%" y=0 height="100%"/>'


def _row(
    name: str, row: tuple[float, float, float], kind: str, scale: Scale, band: str, percent: bool
) -> str:
    value, low, high = row
    told = shown(value, percent)
    if low != high:
        told += f" <span>({shown(low, percent)} … {shown(high, percent)})</span>"
    parts = [band]
    if not any(map(math.isnan, row)):
        x, left, right = scale.at(value), scale.at(low), scale.at(high)
        if right > left:
            parts.append(f'<line class="{kind}" x1="{left:.2f}%" x2="{right:.2f}%" y1=11 y2=11 />')
        parts.append(f'<svg x="{x:.2f}%" y=11 overflow=visible class="{kind}">{SHAPES[kind]}</svg>')
    picture = f"<svg class=plot width='100%' height=22 aria-hidden=true>{''.join(parts)}</svg>"
    return f"<div class=row><span class=name>{escape(name)}</span>{picture}<span class=number>{told}</span></div>"


SHAPES = {
    "holds": "<circle r=5 />",
    "fails": '<path d="M-5-5 5 5M-5 5 5-5"/>',
    "open": "<circle r=4.5 />",
    "known": '<path d="M0-6 6 0 0 6-6 0Z"/>',
}
"""Shape as well as colour tells what an estimate says of the claim."""


def _axis(scale: Scale, percent: bool) -> str:
    marks = []
    for x in scale.ticks():
        at = scale.at(x)
        anchor = "start" if at < 4 else "end" if at > 96 else "middle"
        label = f'<text x="{at:.2f}%" y=18 text-anchor={anchor}>{shown(x, percent)}</text>'
        marks.append(f'<line x1="{at:.2f}%" x2="{at:.2f}%" y1=0 y2=5 />{label}')
    line = '<line x1=0 x2="100%" y1=0.5 y2=0.5 />'
    drawn = f"<svg width='100%' height=22 aria-hidden=true>{line}{''.join(marks)}</svg>"
    return f"<div class='row axis'><span></span>{drawn}</div>"


def shown(x: float, percent: bool = False) -> str:
    """A number as it is told: three digits, words for what is no finite number.

    >>> shown(0.6712), shown(0.6712, percent=True), shown(float("inf")), shown(-12345.0)
    ('0.671', '67.1 %', '∞', '−1.23·10⁴')
    """
    if not math.isfinite(x):
        return "no number" if math.isnan(x) else "∞" if x > 0 else "−∞"
    text = f"{100 * x:.3g}" if percent else f"{x:.3g}"
    base, sign, power = text.partition("e")
    if sign:
        raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        base = f"10{raised}" if base == "1" else f"{base}·10{raised}"
    return base.replace("-", "−") + (" %" if percent else "")
