"""Floor 6. The figure of `qra solve --plot`."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from qra_jax import orbit, plot
from qra_jax.diagnosis import Diagnosis

LAST = 250.0
"""The axis ends at t = 10^LAST, and begins no earlier than its inverse: a log axis adds margins to both."""


def draw(found: Diagnosis, names: list[str]) -> Figure:
    """The run under REINFORCE: the share of every pattern and accuracy in log time, with its events marked.

    Args:
      found: the diagnosis.
      names: `[patterns]`, what to call the patterns.

    Returns:
      A figure.
    """
    times = found.times["reinforce"]
    events = [t for t in (times.transition, times.target, *found.log_switches) if np.isfinite(t)]
    first, last, limit = min([*events, 0.0]) - 3, max([*events, 3.0]) + 3, LAST * np.log(10)
    log_ts = np.linspace(max(first, -limit), min(last, limit), 600)
    path = orbit.solve(found.problem, log_ts=log_ts)
    rival = found.rival if found.rival >= 0 else None
    with plot.style():
        figure, ax = plot.new((7.0, 3.8))
        plot.policies(np.exp(log_ts), path.policy, best=found.best, rival=rival, labels=names, ax=ax)
        label = "accuracy ρ"
        ax.plot(np.exp(log_ts), path.accuracy, color=plot.ACCURACY, linestyle="--", label=label, zorder=4)
        marks = [
            (times.transition, "accuracy passes\nthe second best", "right", 0.9),
            (times.target, f"π(best) = {found.target:g}", "left", 1.1),
        ]
        for log_time, label, side, shift in marks:
            if log_ts[0] < log_time < log_ts[-1]:
                time = np.exp(log_time)
                ax.axvline(time, color=plot.MUTED, linewidth=1, zorder=0)
                ax.text(time * shift, 0.4, f"{label}\nt = {time:.3g}", ha=side, fontsize=8)
        if found.problem.patterns <= 10:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        start, end = float(path.accuracy[0]), float(path.accuracy[-1])
        count = len(found.leaders)
        turns = f"{count} patterns lead in turn" if count > 1 else "one pattern leads throughout"
        cut = f" (cut at t = 10^{LAST:g})" if last > limit else ""
        ax.set_title(f"{found.regime.capitalize()}: accuracy {start:.2g} → {end:.2g}, {turns}{cut}")
        ax.set_xlabel("time t under REINFORCE (learning rate × steps)")
    return figure
