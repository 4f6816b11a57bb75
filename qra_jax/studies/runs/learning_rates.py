r"""Which η has a run of a known learning rate, and does one factor between the two serve?

η is the rate at which logits move: a step changes the common shift of the logits of all questions by η times the pull
of a batch (`qra_jax.consult.pace`). An optimizer's rate is another number: with Adam, many shared parameters and long
answers a step of 10⁻⁶ may move logits by 10⁻³ or by 10⁻¹. By the theory η is proportional to the rate as long as all
else stays, so that runs of one code at several rates, group sizes and temperatures share one factor η/rate; between
models, codes and tasks nothing fixes it. Predicted: within one code slope 1 of log η on log rate, 0 on log G; no common
factor.

η of a run is found by least squares: its rise (up to three quarters, before a collapse) against the model's accuracy at
η·t from the accuracy before any update, which runs of one model share. Questions have the spread that the silent groups
of the first tenth show, or else the usual one (a + b = 2). Intervals are those of resampling points; they do not know
of the spread, on which the factor depends (equal questions give one three times as small), and not of formats that are
learnt along with the answers.

The experiments: sampled GRPO at known η (four settings of G and start, three rates each, one factor), calibrated in the
same way; and the runs of a folder with known learning rates and group sizes.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.population import Population
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.runs import _calibration, _folder
from qra_jax.studies.runs._common_shift import trained
from qra_jax.studies.runs._growth import Points

study = lab.Study(__name__, title="Learning rates: η by which a run moves, against the rate of its optimizer")

SETTINGS = {"G = 4, .35": (4, 0.35), "G = 8, .2": (8, 0.2), "G = 8, .6": (8, 0.6), "G = 16, .35": (16, 0.35)}
"""Group size and accuracy at the start."""
RATES, FACTOR, BATCH, STEPS = (2e-6, 8e-6, 3.2e-5), 1e4, 128, 100
"""Rates of the simulated runs, their factor η/rate; questions of a step; steps."""
SEEDS, DRAWS = lab.scale(6, 24), lab.scale(100, 300)
CLOSE, SERVES, SLOPE, FLAT = np.log(1.5), np.log(3.0), 0.25, 0.5
"""Factors that matter, to an estimate and to advice; slopes off by two over a 16-fold and a four-fold range."""
QUESTIONS = ("own spread", "equal")
HERE = lab.Derived("time = η · steps: docstring of this study")
REAL = lab.Asked("Reports give the optimizer's learning rate; what is η?")


@study.experiment()
def simulated(run: lab.Run) -> xr.Dataset:
    """η over its true value, of sampled runs; with equal questions beside."""
    found = np.empty((len(SETTINGS), len(RATES), run(SEEDS), len(QUESTIONS)))
    for i, (group, mean) in enumerate(SETTINGS.values()):
        for k in range(found.shape[2]):
            rng = np.random.default_rng([run.seed, i, k])
            rates = rng.choice((one := Population.around(mean)).rates, 4000, p=one.weights)
            made = [
                trained(rng, rates, eta=FACTOR * lr, steps=STEPS, group=group, batch=BATCH)[1:]
                for lr in RATES
            ]
            points = [
                Points(np.arange(float(STEPS)), accuracy, np.full(STEPS, float(BATCH * group)))
                for accuracy, _ in made
            ]
            begin = _calibration.start(points)
            for j, (own, (_, silent)) in enumerate(zip(points, made, strict=True)):
                for m, which in enumerate(
                    (_calibration.population(begin, own, silent, group), Population.of([begin]))
                ):
                    found[i, j, k, m] = _calibration.eta(own, which, group, 0, rng)[0] / (FACTOR * RATES[j])
    dims = ("setting", "rate", "seed", "questions")
    coords = {"setting": list(SETTINGS), "rate": RATES, "questions": QUESTIONS}
    return lab.dataset({"log": (dims, np.log(found))}, coords)


@study.experiment(measured=True)
def measured(run: lab.Run) -> xr.Dataset:
    """η of every run with a known learning rate and group size; which of them differ in one setting alone."""
    runs = [
        one for one in _folder.measured(run.measured(_folder.NEEDED))[0] if np.isfinite(one.lr) and one.group
    ]
    if len({one.code for one in runs}) < 3:
        raise lab.DataMissing(f"needs {_folder.NEEDED}, of three codes or more")
    rows = []
    for one in runs:
        group = one.group or 0
        same = [
            other.points
            for other in runs
            if (other.code, other.entry.get("model")) == (one.code, one.entry.get("model"))
        ]
        begin, rng = _calibration.start(same), np.random.default_rng(run.seed)
        questions = _calibration.population(begin, one.points, one.silent, group)
        eta, drawn = _calibration.eta(one.points, questions, group, run(DRAWS), rng)
        equal, _ = _calibration.eta(one.points, Population.of([begin]), group, 0, rng)
        rows.append(
            (np.log(eta), np.log(drawn).std(ddof=1), np.log(equal), np.log(one.lr), np.log(group), begin)
        )
    names = ("eta", "error", "equal", "rate", "group", "start")
    values = {name: ("run", column) for name, column in zip(names, np.array(rows).T, strict=True)}
    for entry in ("lr", "group_size"):
        chosen = {one.name for one in _folder.varied(runs, entry)}
        values[f"{entry} varied"] = ("run", np.array([int(one.name in chosen) for one in runs]))
    codes = list(dict.fromkeys(one.code for one in runs))
    kinds = [f"{codes.index(one.code) + 1}: {one.kind}" for one in runs]
    coords = {"run": [one.name for one in runs], "code": ("run", kinds)}
    return lab.dataset(values).assign_coords(coords)


# ---- claims


def _recovered(data: lab.Data, questions: str) -> lab.Evidence:
    log = data.simulated.log.sel(questions=questions, drop=True).mean("setting", skipna=False)
    return lab.mean("log of η over its true value", log).near(0, within=CLOSE)


@study.claim(
    "Of sampled runs at three rates η is found within a factor of 1.5, on average over settings.", origin=HERE
)
def recovered(data):
    return _recovered(data, QUESTIONS[0])


recovered.null("questions that are taken as equal")(lambda data: _recovered(data, QUESTIONS[1]))


def _factors(data: lab.Data) -> lab.Estimate:
    """Log of η/rate of each code, less the mean of all."""
    rows = data.measured
    log = (rows.eta - rows.rate).groupby("code").mean(skipna=False)
    square = (rows.error**2).groupby("code").mean(skipna=False)
    count = xr.ones_like(rows.eta).groupby("code").sum()
    return lab.measured(
        "log of η/rate less the mean of all codes", log - log.mean(skipna=False), np.sqrt(square / count)
    )


@study.claim("One factor η/rate serves the runs of all codes, within a factor of three.", origin=REAL)
def one_factor(data):
    return _factors(data).between(-SERVES, SERVES)


@one_factor.positive("sampled runs of four settings, of one factor")
def _(data):
    log = data.simulated.log.sel(questions=QUESTIONS[0], drop=True).mean("rate", skipna=False)
    return lab.mean(
        "log of η/rate less the mean of all settings", log - log.mean("setting", skipna=False)
    ).between(-SERVES, SERVES)


@one_factor.null("sampled runs at the lowest and the highest rate, as if it were one")
def _(data):
    log = (
        data.simulated.log.sel(questions=QUESTIONS[0], drop=True)
        .mean("setting", skipna=False)
        .isel(rate=[0, -1])
    )
    log = log + np.log(log.rate)
    return lab.mean("log of η less the mean of both", log - log.mean("rate", skipna=False)).between(
        -SERVES, SERVES
    )


def _slope(data: lab.Data, entry: str, axis: str) -> lab.Estimate:
    """Slope of log η on a setting that alone was varied."""
    rows = data.measured
    words = f"slope of log η on log {'learning rate' if axis == 'rate' else 'G'}"
    return lab.line(words, rows.eta, rows[axis], rows.error, use=rows[f"{entry} varied"])


@study.claim(
    "Where the learning rate alone is varied, η is proportional to it: slope 1 within .25.", origin=REAL
)
def same_code(data):
    return _slope(data, "lr", "rate").near(1, within=SLOPE)


same_code.null("runs in which the group size alone is varied")(
    lambda data: _slope(data, "group_size", "group").near(1, within=SLOPE)
)


@study.claim("Where the group size alone is varied, η stays: slope 0 on log G within .5.", origin=REAL)
def group_size(data):
    return _slope(data, "group_size", "group").near(0, within=FLAT)


group_size.null("runs in which the learning rate alone is varied")(
    lambda data: _slope(data, "lr", "rate").near(0, within=FLAT)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """η against learning rate of measured runs, with lines of one factor; η found over η true of simulated ones."""
    real = data.has("measured")
    figure, axes = plot.new((4.9 * (1 + real), 3.9), ncols=1 + real, squeeze=False)
    if real:
        _measured(data.measured, axes[0, 0])
    ratio = np.exp(data.simulated.log)
    off = float(np.exp(abs(data.simulated.log.sel(questions=QUESTIONS[0]).mean("seed")).max()))
    title = f"Simulated runs: η is found within a factor of {off:.1f}"
    ticks = {"xticks": list(RATES), "yticks": [0.3, 0.5, 1, 1.5], "ylim": (0.28, 1.7)}
    panels.frame(title, axes[0, -1], x="learning rate", y="η found over η true", log="xy", **ticks)
    panels.dots(ratio.mean("setting"), axes[0, -1], x="rate", by="questions", over="seed")
    panels.mark(1.0, axes[0, -1], axis="y")
    panels.legend(None, axes[0, -1])
    return figure


def _measured(rows: xr.Dataset, ax: Axes) -> None:
    log = rows.eta - rows.rate
    each = log.groupby("code").mean()
    within = log.where(rows["lr varied"] == 1)
    between, one = (float(np.exp(part.max() - part.min())) for part in (each, within))
    title = f"η/rate differs {between:.0f}-fold between codes, {one:.1f}-fold in one at several rates"
    panels.frame(title, ax, x="learning rate of the optimizer", y="η", log="xy", xlim=(4e-7, 2e-3))
    grid = np.array([5e-7, 2e-4])
    for power in (2, 3, 4, 5):
        ax.plot(grid, 10.0**power * grid, color=plot.MUTED, lw=0.7)
        place = grid[1], 10.0**power * grid[1]
        ax.annotate(f" η/rate = 10{'⁰¹²³⁴⁵'[power]}", place, fontsize=7, va="center")
    for code, color in panels.palette(np.unique(rows.code.values).tolist()).items():
        own = rows.isel(run=np.flatnonzero(rows.code.values == code))
        ends = [np.exp(own.eta + sign * 1.96 * own.error) for sign in (-1, 0, 1)]
        bars = [ends[1] - ends[0], ends[2] - ends[1]]
        ax.errorbar(np.exp(own.rate), ends[1], bars, fmt="o", color=color, ms=4, label=code)
    panels.legend(None, ax, loc="upper left", fontsize=8)
