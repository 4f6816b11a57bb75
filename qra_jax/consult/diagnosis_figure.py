"""The figure of `qra solve --plot`, and the film where the file is to be one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from qra_jax import _show, orbit, plot
from qra_jax.consult.diagnosis import Diagnosis
from qra_jax.film import Film

LAST = 250.0
"""The axis ends at t = 10^LAST, and begins no earlier than its inverse: a log axis adds margins to both."""
FRAMES = 60
"""Of the film, evenly spaced in orbit time."""


def draw(diagnosis: Diagnosis, names: list[str]) -> Figure:
    """The run under REINFORCE: the share of every pattern and accuracy in log time, with its events marked.

    Args:
      diagnosis: the diagnosis.
      names: `[patterns]`, what to call the patterns.

    Returns:
      A figure.
    """
    times = diagnosis.times["reinforce"]
    events = [t for t in (times.log_transition, times.log_target, *diagnosis.log_switches) if np.isfinite(t)]
    first, last, limit = min([*events, 0.0]) - 3, max([*events, 3.0]) + 3, LAST * np.log(10)
    log_ts = np.linspace(max(first, -limit), min(last, limit), 600)
    path = orbit.solve(diagnosis.problem, log_ts=log_ts)
    rival = diagnosis.rival if diagnosis.rival >= 0 else None
    with plot.style():
        figure, ax = plot.new((7.0, 3.8))
        plot.policies(np.exp(log_ts), path.policy, best=diagnosis.best, rival=rival, labels=names, ax=ax)
        label = "accuracy ρ"
        ax.plot(np.exp(log_ts), path.accuracy, color=plot.ACCURACY, linestyle="--", label=label, zorder=4)
        marks = [
            (times.log_transition, "accuracy passes\nthe second best", "right", 0.9),
            (times.log_target, f"π(best) = {diagnosis.target:g}", "left", 1.1),
        ]
        for log_time, label, side, shift in marks:
            if log_ts[0] < log_time < log_ts[-1]:
                time = np.exp(log_time)
                ax.axvline(time, color=plot.MUTED, linewidth=1, zorder=0)
                ax.text(time * shift, 0.4, f"{label}\nt = {time:.3g}", ha=side, fontsize=8)
        if diagnosis.problem.patterns <= 10:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        start, end = float(path.accuracy[0]), float(path.accuracy[-1])
        count = len(diagnosis.leaders)
        turns = f"{count} patterns lead in turn" if count > 1 else "one pattern leads throughout"
        cut = f" (cut at t = 10^{LAST:g})" if last > limit else ""
        ax.set_title(f"{diagnosis.regime.capitalize()}: accuracy {start:.2g} → {end:.2g}, {turns}{cut}")
        ax.set_xlabel("time t under REINFORCE (learning rate × steps)")
    return figure


def film(diagnosis: Diagnosis, names: list[str]) -> Film:
    """The run under REINFORCE in orbit time, beside the lines whose lowest one leads.

    Args:
      diagnosis: the diagnosis.
      names: `[patterns]`, what to call the patterns.

    Returns:
      A film: left the path of the policy (in the triangle, or where there are not three patterns the shares), right
      the lines up to the present orbit time.
    """
    problem = diagnosis.problem
    colors = plot.pattern_colors(
        problem.patterns, diagnosis.best, diagnosis.rival if diagnosis.rival >= 0 else None
    )
    log_ts, log_taus = _clock(diagnosis)
    tau = np.linspace(0.0, 1.0, FRAMES)
    scale = float(np.exp(log_taus[-1]))
    log_t = np.interp(tau * scale, np.exp(log_taus), log_ts)
    policy = np.exp(np.asarray(jax.vmap(lambda x: orbit.policy(problem, x))(jnp.asarray(tau * scale))))
    offset, slope = (np.asarray(x) for x in orbit.lines(problem))
    heights = offset[:, None] / scale - slope[:, None] * tau
    leader = np.argmin(heights, axis=0)
    accuracy = policy @ np.asarray(problem.success)
    with plot.style():
        figure, (left, right) = plot.new((7.6, 3.9), ncols=2)
        if problem.patterns == 3:
            plot.simplex_axes(names, ax=left)
            plot.simplex(policy, ax=left, color=plot.MUTED, linewidth=1)
            (trail,) = left.plot([], [], color=plot.ACCURACY, linewidth=2)
            points = plot.ternary(policy)
            (dot,) = left.plot([], [], "o", color=plot.ACCURACY, markersize=7)
        else:
            for r, name in enumerate(names):
                left.plot(tau, policy[:, r], color=colors[r], label=name)
            points = np.stack([tau, accuracy], axis=-1)
            (trail,) = left.plot([], [], "--", color=plot.ACCURACY, linewidth=2, label="accuracy ρ")
            (dot,) = left.plot([], [], "o", color=plot.ACCURACY, markersize=7)
            left.set(xlabel="orbit time τ", ylabel="share π", xticks=[], ylim=(-0.02, 1.02))
        for r, name in enumerate(names):
            right.plot(tau, heights[r], color=colors[r], linewidth=1, label=name)
        lowest = heights.min(axis=0)
        (point,) = right.plot([], [], "o", markersize=8)
        bold = [right.plot([], [], color=color, linewidth=5, solid_capstyle="round")[0] for color in colors]
        top = max(filter(np.isfinite, (heights[diagnosis.best, 0], lowest[0])))
        room = 0.06 * (top - lowest[-1])
        right.set(xlim=(-0.02, 1.02), ylim=(lowest[-1] - room, top + room), xticks=[], yticks=[])
        right.set(xlabel="orbit time τ", ylabel="1/π_ref − p τ")
        if problem.patterns <= 10:
            right.legend(loc="lower left")
        titles = left.set_title(" "), right.set_title(" ")

    def update(frame: int) -> None:
        trail.set_data(*points[: frame + 1].T)
        dot.set_data(*points[frame : frame + 1].T)
        for r, line in enumerate(bold):
            led = np.where(leader[: frame + 1] == r, lowest[: frame + 1], np.nan)
            line.set_data(tau[: frame + 1], led)
        point.set_data([tau[frame]], [lowest[frame]])
        point.set_color(colors[leader[frame]])
        time = "0" if frame == 0 else _show.from_log(log_t[frame])
        titles[0].set_text(f"t = {time}: accuracy {accuracy[frame]:.2f}")
        titles[1].set_text(f"the lowest line leads: {names[leader[frame]]}")

    return Film(figure, update, FRAMES)


def _clock(diagnosis: Diagnosis) -> tuple[np.ndarray, np.ndarray]:
    """Logs of time and of orbit time, from the start to somewhat beyond the last event."""
    times = diagnosis.times["reinforce"]
    events = [t for t in (times.log_target, *diagnosis.log_switches) if np.isfinite(t)]
    last = min(max([*events, 3.0]), LAST * np.log(10))
    log_ts = np.linspace(min([*events, 0.0]) - 5, last + 0.3, 1000)
    path = orbit.solve(diagnosis.problem, log_ts=log_ts)
    return log_ts, np.asarray(path.stats["log_tau"])
