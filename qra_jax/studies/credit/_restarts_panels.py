"""The figure of the study of restarts."""

from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.credit._restarts import HIDDEN, MAZE, RUNS, STARTS, TASKS
from qra_jax.studies.credit._restarts_evidence import ACCURACY, REFLECTS
from qra_jax.studies.lab import panels

COLORS = dict(zip(STARTS, ("0.2", plot.BEST, plot.RIVAL, "#56B4E9", "#E69F00", "#CC79A7"), strict=True))
QUESTION, RIGHT, WRONG, _, BASE, _ = COLORS.values()
TITLES = {
    MAZE: "Four rare steps: right prefixes turn q⁻⁴ into q⁻¹",
    HIDDEN: "Hidden leaf: own prefixes help, any prefix helps more",
}
LEVELS = {MAZE: "chance q of each right step", HIDDEN: "chance of the first step to it"}
LINES = {
    "correction, restarts with the bonus": ("reflects after a bad step: restarts", BASE, "-"),
    "correction, the question": ("the question alone", QUESTION, "-"),
    "maze, right prefixes": ("solves the maze: right prefixes", RIGHT, "--"),
    "maze, wrong prefixes": ("wrong prefixes", WRONG, "--"),
    "maze, the question": ("the question alone", QUESTION, "--"),
}


def drawn(data: lab.Data) -> Figure:
    """Times by start in the maze and behind a bad step, and what sampled training learns."""
    figure, axes = plot.new((13, 3.9), ncols=3)
    for ax, task in zip(axes, TITLES, strict=False):
        cells = data.times.isel(task=TASKS.index(task), algorithm=0, drop=True)
        time, chance = cells.time.assign_coords(start=list(STARTS)), cells.chance.isel(start=0).values
        panels.frame(
            TITLES[task], ax, x=LEVELS[task], y="time, equal rollouts", log="xy", xticks=list(chance)
        )
        panels.curves(time, ax, x=chance, by="start", colors=COLORS)
    panels.legend(None, axes[0], fontsize=7.5, loc="upper right")
    seen, last = data.runs.seen.isel(algorithm=1, drop=True), axes[2]
    panels.frame("Sampled GRPO learns where rollouts begin", last, x="step", y="chance", ylim=(-0.02, 1.02))
    for kind, (label, color, dash) in LINES.items():
        what = REFLECTS if kind.startswith("correction") else ACCURACY
        line = seen.sel(what=what).isel(kind=list(RUNS).index(kind)).mean("seed")
        last.plot(line.step, line, dash, color=color, label=label)
    panels.legend(None, last, fontsize=7.5, loc="center right")
    return figure
