"""Do the first 30 % of real training runs tell how they go on, better than simple baselines do?

The control that simulations cannot give: accuracy curves of runs that nobody made for this package, with other
algorithms, models and noise than the theory assumes. Each curve is fitted up to 30 % of its steps, by `qra_jax.fit`
with its default priors and by the baselines, and all are scored on the rest: mean absolute error, error at the end
(mean of the last tenth), continuous ranked probability score, and cover of the 80 % intervals.

Prediction: the theory's forecast has the smaller error than each baseline, and its intervals cover.

Rules: paired over runs, the error is smaller by 2 standard errors for each baseline, at the end and on average; the
number of ends covered is binomial at .8 (95 % interval). Runs of one experiment are no independent draws, so the true
standard errors are larger than these. Runs are one file each, with columns step and accuracy; a reward on another scale
counts where `SCALES` knows its range, and other files are skipped and named.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qra_jax import fit, plot
from qra_jax.fit.drawing import COLORS, THEORY
from qra_jax.fit.inference import FEWEST
from qra_jax.studies.base import DataMissing, Verdict, verdict, wilson
from qra_jax.studies.forecast import METHODS, PART, beats, compare

TITLE = "Real runs: the first 30 % forecast the rest"
SOURCE = "derived here; cf. A-3, Cai et al., arXiv 2510.00553"
DATA_NEEDED = "A folder of CSV files, one training run each, with columns step and accuracy."
SCALES = {"dreternity": (-0.5, 1.0), "unsl_": (-1.0, 3.0)}
"""Range of the column reward by how the file's name begins: −.5 without an answer to 1; −1 for wrong to 3 for exact."""
SHOWN = 8


def compute(*, quick: bool, seed: int = 0, folder: Path | None = None) -> dict[str, np.ndarray]:
    """Scores of every run and method, and forecasts for the figure.

    Args:
      quick: every third run, fewer draws.
      seed: of the random numbers.
      folder: the runs.

    Returns:
      Arrays; runs in alphabetical order.

    Raises:
      DataMissing: no folder, or no run in it that can be scored.
    """
    if folder is None:
        raise DataMissing(f"needs --data DIR. {DATA_NEEDED}")
    curves, untils, skipped = runs(folder)
    if not curves:
        raise DataMissing(f"the folder of --data holds no run that can be scored. {DATA_NEEDED}")
    if quick:
        curves, untils = curves[::3], untils[::3]
    fits = fit.fit_many(curves, untils, draws=64 if quick else 256, seed=seed)
    data: dict[str, np.ndarray] = {}
    scores = []
    for index, (curve, until, fitted) in enumerate(zip(curves, untils, fits, strict=True)):
        rest = fit.rest_of(curve, until)
        assert rest is not None
        found = {THEORY: fitted.forecast(rest.steps), **fit.baselines(curve, until, rest.steps, seed=seed)}
        scored = [fit.score(found[name], rest) for name in METHODS]
        scores.append([[s.error, s.end, s.crps, s.log_score, s.covered, s.end_covered] for s in scored])
        one = found[THEORY]
        data |= {
            f"{index}/steps": curve.steps,
            f"{index}/accuracy": curve.accuracy,
            f"{index}/ahead": rest.steps,
            f"{index}/path": np.stack([one.median, one.low, one.high]),
        }
    numbers = np.moveaxis(np.array(scores, float), 2, 0)
    names = ("error", "end", "crps", "log_score", "covered", "end_covered")
    return data | {
        "names": np.array([curve.name for curve in curves]),
        "skipped": np.array(skipped, dtype=str),
        "until": np.array(untils),
        "weights": np.array([[one.dynamics[name] for name in fit.DYNAMICS] for one in fits]),
        **dict(zip(names, numbers, strict=True)),
    }


def runs(folder: Path) -> tuple[list[fit.Curve], list[float], list[str]]:
    """The runs of a folder that can be scored, where their first part ends, and which files are left out and why."""
    curves, untils, skipped = [], [], []
    for path in sorted(Path(folder).glob("*.csv")):
        scale = next((ends for start, ends in SCALES.items() if path.stem.startswith(start)), None)
        try:
            curve = fit.read(path) if scale is None else fit.read(path, column="reward", scale=scale)
        except ValueError as error:
            reason = str(error).removeprefix(str(path)).lstrip(":, ")
            skipped.append(f"{path.name} ({reason.partition(' among ')[0]})")
            continue
        until = float(curve.steps[0] + PART * (curve.steps[-1] - curve.steps[0]))
        if np.sum(curve.steps <= until) < FEWEST or fit.rest_of(curve, until) is None:
            skipped.append(f"{path.name} (too few points)")
            continue
        curves.append(curve)
        untils.append(until)
    return curves, untils, skipped


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Errors at the end of every run by method, and the forecasts of some runs."""
    count = len(data["names"])
    shown = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).astype(int))
    figure, axes = plot.new(
        (12.5, max(5.0, 1.2 + 0.24 * count)), nrows=4, ncols=4, width_ratios=[1.1, 1.1, 1, 1]
    )
    grid = axes[0, 0].get_gridspec()
    for ax in axes[:, :2].ravel():
        ax.remove()
    _table(data, figure.add_subplot(grid[:, :2]))
    for place, ax in enumerate(axes[:, 2:].ravel()):
        if place >= len(shown):
            ax.remove()
            continue
        index = int(shown[place])
        steps, y = data[f"{index}/steps"], data[f"{index}/accuracy"]
        early = steps <= data["until"][index]
        median, low, high = data[f"{index}/path"]
        ax.fill_between(data[f"{index}/ahead"], low, high, color=COLORS[THEORY], alpha=0.2, lw=0)
        ax.plot(steps[early], y[early], "o", color="black", ms=2)
        ax.plot(steps[~early], y[~early], "o", color=plot.MUTED, ms=1.5)
        ax.plot(data[f"{index}/ahead"], median, color=COLORS[THEORY], lw=1.5)
        ax.set_ylim(-0.02, 1.02)
        ax.set_title(_short(str(data["names"][index]), 24), fontsize=8)
        ax.tick_params(labelsize=7)
    return figure


def _table(data: Mapping[str, np.ndarray], ax) -> None:
    order = np.argsort(data["end"][:, 0])
    rows = np.arange(len(order))
    for k, name in reversed(list(enumerate(METHODS))):
        style = {"s": 42, "zorder": 3} if k == 0 else {"s": 20, "alpha": 0.9}
        ax.scatter(data["end"][order, k], rows, color=COLORS[name], label=name, **style)
    ax.set_yticks(rows, [_short(str(data["names"][i])) for i in order], fontsize=7)
    ax.set(xlabel="error at the end (accuracy)", xlim=(-0.02, None))
    ax.grid(axis="y", lw=0.4, alpha=0.5)
    ax.legend(loc="lower right", fontsize=8)
    mean = data["end"].mean(axis=0)
    least = np.argsort(mean)
    won = int((data["end"][:, 0] <= data["end"].min(axis=1)).sum())
    ax.set_title(
        f"Smallest error: {METHODS[least[0]]} ({mean[least[0]]:.3f}), then {METHODS[least[1]]} "
        f"({mean[least[1]]:.3f});\ntheory best in {won} of {len(order)} runs"
    )


def _short(name: str, length: int = 44) -> str:
    """The end of a name tells runs of one series apart."""
    return name if len(name) <= length else "…" + name[1 - length :]


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """The theory's forecast against each baseline, and its intervals."""
    count = len(data["names"])
    rows = []
    for key, words in (
        ("end", "at the end"),
        ("error", "on average over the rest"),
        ("crps", "as a probability (CRPS)"),
    ):
        said, won = compare(data[key])
        rows.append(
            Verdict(
                f"From the first 30 % of real runs the theory forecasts better than each baseline {words} "
                f"({count} runs).",
                SOURCE,
                "mean paired difference of errors: below 0 by 2 standard errors, for each baseline",
                f"theory {data[key][:, 0].mean():.3f}; {said}",
                beats(won),
            )
        )
    covered = data["end_covered"][:, 0]
    low, high = wilson(covered.sum(), count)
    return [
        *rows,
        Verdict(
            "80 % intervals of the end hold it in 80 % of real runs.",
            SOURCE,
            "0.8",
            f"{covered.mean():.2f} (95 %: {low:.2f} to {high:.2f}); of single points "
            f"{data['covered'][:, 0].mean():.2f}",
            verdict(low <= 0.8 <= high),
        ),
        Verdict(
            "The first 30 % of a run tell which dynamics makes it.",
            SOURCE,
            "one dynamics has probability 0.8 or more in most runs",
            f"in {(data['weights'].max(axis=1) >= 0.8).sum()} of {count} runs; "
            + (
                "skipped: " + "; ".join(data["skipped"].tolist())
                if data["skipped"].size
                else "no file skipped"
            ),
            verdict((data["weights"].max(axis=1) >= 0.8).mean() > 0.5),
        ),
    ]
