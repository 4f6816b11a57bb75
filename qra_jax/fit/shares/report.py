"""What `qra fit` prints and draws of measured shares of patterns."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column, Table

from qra_jax import plot
from qra_jax._terminal import TERMS, put, say
from qra_jax.fit.shares.columns import Shares
from qra_jax.fit.shares.estimate import fit
from qra_jax.fit.shares.found import BACK, LEVEL, POWER, SharesFit

_TITLE = {
    "one orbit": "The shares run on one orbit",
    "no orbit": "The shares leave every orbit",
    "cannot be told": "Whether the shares run on an orbit cannot be told",
}


def answer(measured: Shares, success: Any = None, *, seed: int = 0) -> SharesFit:
    """[`fit`][qra_jax.fit.shares.fit] of what a file has.

    Args:
      measured: from [`read`][qra_jax.fit.shares.read].
      success: `[patterns]`, success rates, where known.
      seed: of the random numbers.

    Returns:
      A `SharesFit`.
    """
    return fit(
        measured.steps,
        measured.shares,
        measured.samples,
        success,
        accuracy=measured.accuracy,
        names=measured.names,
        seed=seed,
    )


def to_json(found: SharesFit, measured: Shares) -> str:
    """One JSON object: the verdict, both tests with their power, the orbit and what is identified; null for 0/0."""
    fields = asdict(found)
    plain = {name: _plain(value) for name, value in fields.items()}
    head = {"run": measured.name, "notes": list(measured.notes), "verdict": found.verdict}
    return json.dumps(head | plain, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def story(found: SharesFit, measured: Shares) -> list[str]:
    """What was read, the verdict and what it rests on, a sentence or two each."""
    steps, typical = found.steps, float(np.median(found.samples))
    if np.isfinite(found.dispersion):
        behind = f"each counts for about {typical:.3g} completions (noise {found.dispersion:.2g} times multinomial)"
    else:
        behind = f"about {typical:.3g} completions a step (taken from the scatter; give --samples)"
    lines = [
        f"{measured.name}: shares of {', '.join(found.names)} at {len(steps)} steps, {steps[0]:.10g} to "
        f"{steps[-1]:.10g}; {behind}."
    ]
    lines += [f"Note: {note}." for note in measured.notes]
    soft, natural = found.softmax, found.natural
    if found.moved > LEVEL:
        return [
            *lines,
            f"One orbit: cannot be told. The shares stay where they are, as far as their noise tells (chance "
            f"{found.moved:.2g}): a point is on every orbit through it.",
        ]
    constant = (
        f"what is off the nearest one and smooth in time is {soft.statistic:.3g} in units of the noise, which exceeds "
        f"{soft.critical:.3g} one time in twenty (chance {soft.chance:.2g})"
    )
    seen = (
        f"A smooth departure of {found.visible:.2g} (total variation) would have been seen four times in five; had the "
        f"shares run on the nearest orbit of the natural gradient, that would have been with probability "
        f"{found.power:.2f}."
    )
    if soft.chance <= LEVEL:
        lines.append(
            f"One orbit: no. The first integral of the softmax policy gradient does not stay constant: {constant}. The "
            f"shares are off by up to {soft.off:.2g} (total variation), most at step {soft.at:.10g}."
        )
        lines.append(
            "What leaves an orbit: a KL or entropy term, success rates that change, patterns that share parameters, "
            "an optimizer that scales them apart, stale rollouts."
        )
    elif found.back <= BACK:
        lines.append(
            f"One orbit: no. The first integral stays constant ({constant}), but the shares turn back on the orbit "
            f"(chance {found.back:.2g}), as none of its clocks does."
        )
    elif found.power >= POWER:
        lines.append(f"One orbit: yes. The first integral stays constant: {constant}. {seen}")
    else:
        lines.append(
            f"One orbit: cannot be told. No departure shows: {constant}. But {seen[0].lower()}{seen[1:]}"
        )
    said = "is rejected" if natural.chance <= LEVEL else "is not rejected"
    lines.append(
        f"The orbit of the natural gradient, π ∝ π_ref exp(Rτ), {said} (chance {natural.chance:.2g})."
    )
    if found.verdict == "no orbit":
        lines.append("Rates and times below are those of the nearest orbit: they describe it, not the run.")
    return lines + _identified(found)


def _identified(found: SharesFit) -> list[str]:
    """What of the orbit shares tell, and what no shares could."""
    if found.given:
        moved = f"Orbit time at step {found.steps[-1]:.10g}: τ = {found.tau[-1]:.3g}, with the success rates given."
        return [moved]
    wide = np.diff(found.between, axis=1)[:, 0]
    known = [name for name, width in zip(found.names, wide, strict=True) if 0 < width <= 0.2]
    vague = [name for name, width in zip(found.names, wide, strict=True) if width > 0.2]
    lines = [
        "Success rates: shares tell them up to an offset and a factor, which is that of τ; the worst pattern is put at "
        "0, the best at 1."
        + (f" Identified within ± .1: {', '.join(known)}." if known else "")
        + (f" Not identified that well: {', '.join(vague)}." if vague else "")
    ]
    lines.append(
        f"Orbit time at step {found.steps[-1]:.10g}: τ (R_best − R_worst) = {found.tau[-1]:.3g}. Where on its orbit "
        "the run began cannot be told from shares: the first step stands for π_ref."
    )
    if found.success is not None:
        lines.append("With the accuracy their level is known, too: see the last column.")
    return lines


def show(found: SharesFit, measured: Shares, console: Console | None = None) -> None:
    """Print it in words, and a row for each pattern.

    Args:
      found: the fit.
      measured: what was read.
      console: where to.
    """
    console = console or Console(highlight=False)
    for line in story(found, measured):
        say(console, line)
    table = Table(Column("pattern", no_wrap=True), box=None, pad_edge=False)
    heads = ["share at first", "at the end", "success rate" if found.given else "relative rate [80 %]"]
    for head in [*heads, *["success rate [80 %]"] * (found.success is not None)]:
        table.add_column(head, justify="right", no_wrap=True)
    for i, name in enumerate(found.names):
        low, high = found.between[i]
        rate = f"{found.rates[i]:.2f}" + (f" [{low:.2f}, {high:.2f}]" if high > low else "")
        rate = "unknown" if high - low > 2 else rate
        cells = [f"{found.policy[0, i]:.3f}", f"{found.policy[-1, i]:.3f}", rate]
        if found.success is not None:
            cells.append("{:.2f} [{:.2f}, {:.2f}]".format(*found.success[i]))
        table.add_row(name, *cells)
    put(console, table)
    say(console, TERMS)


def draw(found: SharesFit) -> Figure:
    """Shares over steps with the fitted orbit, and the path in the plane of two log ratios.

    There the natural gradient's orbit is a straight line, and the softmax policy gradient's is bent.

    Args:
      found: the fit.

    Returns:
      A figure.
    """
    best, worst = found.ends
    rest = [i for i in range(len(found.names)) if i not in (best, worst)]
    middle = max(rest, key=lambda i: found.policy[:, i].mean())
    colors = plot.pattern_colors(len(found.names), best, middle)
    with plot.style():
        figure, (left, right) = plot.new((8.6, 3.7), ncols=2, width_ratios=(1.15, 1))
        for i, name in enumerate(found.names):
            left.plot(found.steps, found.shares[:, i], "o", color=colors[i], ms=3, alpha=0.7)
            left.plot(found.steps, found.policy[:, i], color=colors[i], lw=1.6, label=name)
        left.set(xlabel="step", ylabel="share", ylim=(-0.02, 1.02))
        left.legend(loc="best")
        left.set_title(_TITLE[found.verdict])
        half = 0.5 / found.samples[:, None]

        def ratios(policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            log = np.log(policy + half)
            return log[:, best] - log[:, worst], log[:, middle] - log[:, worst]

        right.plot(*ratios(found.shares), "o", color="black", ms=3, label="measured")
        for policy, color, style, label in (
            (found.policy, plot.BEST, "-", "softmax policy gradient"),
            (found.rival, plot.CYCLE[7], "--", "natural gradient"),
        ):
            x, y = ratios(policy)
            order = np.argsort(x)
            right.plot(x[order], y[order], style, color=color, lw=1.6, label=label)
        one, two, three = (found.names[i] for i in (best, middle, worst))
        right.set(xlabel=f"log share of {one} / {three}", ylabel=f"log share of {two} / {three}")
        right.legend(loc="best")
        chance = f"chance {found.softmax.chance:.2g}"
        right.set_title(f"First integral: {'off' if found.softmax.chance <= LEVEL else 'constant'}, {chance}")
    return figure
