r"""Do runs that differ in the learning rate alone fall on one curve of learning rate × steps?

By the theory a learning rate is the unit of time and nothing else: training at η for n steps is training at 2η for n/2,
as long as steps are small and the noise of a group, of the order η/G, does not decide. So the time to any accuracy is
∝ 1/η, an exponent of 1. An optimizer such as Adam normalises the gradient; its rate, too, is a unit of time, if not the
tabular one. Predicted: one curve, exponent 1, for sampled GRPO at η ≪ G and for measured runs below their noise limit;
none for rates at which a single step decides, none for runs of different tasks.

A curve of growth with four parameters, which knows no dynamics, is fitted to all runs of a set at the times (rate)^a·t:
once with a free, once with a = 1, and to each run by itself. *Simulated*: GRPO, G = 8, on 32 questions with three
patterns each (π_ref Dirichlet(1), success rates uniform^h), as many steps and rollouts at each of four rates
from .025 to 1.6; beside them four rates up to 205, and four tasks (h = .5, 1, 2, 4), a rate each. *Measured*: runs
of a folder that agree in every entry of its index but the learning rate (three rates or more); beside them runs of
which the group size was varied, and runs of different code. Points of one step have the same questions, so that steps
are resampled for the errors.

Reported steps to a plateau (a public sweep over four rates: not reached, 240 to 280, 340, 80) are no test: the plateaus
themselves differ (.74, .76, .79).
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.runs import _folder, _growth, _one_clock_panels
from qra_jax.studies.runs._growth import Points
from qra_jax.training import train

study = lab.Study(__name__, title="One clock: runs at several learning rates against learning rate × steps")

RATES, TASKS = (
    tuple(0.025 * 4.0**i for i in range(4)) + tuple(3.2 * 4.0**i for i in range(4)),
    (0.5, 1.0, 2.0, 4.0),
)
"""Learning rates, four below the noise limit and four beyond it; powers of the success rates."""
GROUP, QUESTIONS, STEPS = 8, 32, 100
SETS, SLOW, LAST = ("one task", "different tasks"), 4, 20
"""Sets of runs that are compared; how many of the rates are slow; steps of which the mean is the end."""
CASES = ("rates varied", "group sizes varied", "different code")
NEEDED = f"{_folder.NEEDED}; three rates and three group sizes of one setting, and runs of three codes"
OFF, APART, LOWER, DRAWS = 0.25, 0.05, 0.02, lab.scale(50, 400)
"""Exponent that is off by a factor of two over 16 times the rate; accuracies that matter; resamplings."""
WORDS = {"exponent": "exponent of the rate", "apart": "distance from one curve"}
HERE = lab.Derived("time = η · steps: docstring of qra_jax.training.train")
REAL = lab.Asked("Is a learning rate a unit of time in practice, with Adam and shared parameters?")


@study.experiment(
    {"rate": RATES, "task": TASKS}, seeds=lab.scale(12, 48), dims={"logged": ["step"]}, common=("rate",)
)
def trained(cell, key):
    """Mean reward of each step; runs of one seed have the same questions at every rate."""
    own, ref, success = jax.random.split(key, 3)
    policy = jax.random.dirichlet(ref, jnp.ones(3), (QUESTIONS,))
    rates = jax.random.uniform(success, (QUESTIONS, 3)) ** cell.task
    own = jax.random.fold_in(own, (1000 * cell.rate).astype(jnp.uint32))
    options = {"algorithm": grpo(GROUP), "learning_rate": cell.rate, "steps": STEPS}
    path = train(own, Problem(jnp.log(policy), rates), **options)
    return {"logged": path.stats["reward"].mean(axis=0)}


def _simulated(logged: xr.DataArray, name: str) -> tuple[list[Points], list[float]]:
    """The four runs of a set, and their rates."""
    tasks = [1] * SLOW if name == SETS[0] else [2, 0, 3, 1]
    rows = [logged.isel(rate=i, task=task).values for i, task in enumerate(tasks)]
    time, samples = np.arange(float(STEPS)), np.full(STEPS, float(GROUP * QUESTIONS))
    return [Points(time, np.clip(row, 0, 1), samples) for row in rows], list(RATES[:SLOW])


@study.experiment(after=["trained"])
def simulated(run: lab.Run) -> xr.Dataset:
    """Exponent of each set, and how far its runs are from one curve."""
    logged = run.done.trained.logged
    seeds = range(logged.sizes["seed"])
    found = np.array(
        [[_growth.one_clock(*_simulated(logged.isel(seed=i), name)) for i in seeds] for name in SETS]
    )
    dims = ("set", "seed")
    return lab.dataset({"exponent": (dims, found[..., 0]), "apart": (dims, found[..., 1])}, {"set": SETS})


@study.experiment(measured=True)
def measured(run: lab.Run) -> xr.Dataset:
    """Exponents and distances of measured runs, with errors by resampling, and their points."""
    runs, _ = _folder.measured(run.measured(_folder.NEEDED))
    known = [one for one in runs if np.isfinite(one.lr)]
    chosen = _folder.varied(known, "lr")
    others = list({one.code: one for one in reversed(known)}.values())
    sizes = _folder.varied(known, "group_size")
    if min(len({one.lr for one in chosen}), len(sizes), len(others)) < 3:
        raise lab.DataMissing(f"needs {NEEDED}")
    found = np.empty((len(CASES), 2, 2))
    cases = [(chosen, "lr"), (sizes, "group_size"), (others, "lr")]
    for i, (group, entry) in enumerate(cases):
        points, values = [one.points for one in group], [float(one.entry[entry]) for one in group]
        again = _growth.resampled(np.random.default_rng(run.seed), points, run(DRAWS))
        drawn = np.array([_growth.one_clock(draw, values) for draw in again])
        found[i] = _growth.one_clock(points, values), drawn.std(axis=0, ddof=1)
    longest = max(len(one.time) for one in chosen)

    def padded(name: str) -> list[np.ndarray]:
        rows = [getattr(one.points, name) for one in chosen]
        return [np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows]

    names = {"found": (("case", "number"), found[:, 0]), "error": (("case", "number"), found[:, 1])}
    names |= {name: (("run", "point"), padded(name)) for name in ("time", "accuracy")}
    coords = {"case": CASES, "number": ["exponent", "apart"], "run": [one.lr for one in chosen]}
    return lab.dataset(names, coords)


def _one(exponent: lab.Estimate, apart: lab.Estimate) -> lab.Evidence:
    return lab.all_of(exponent.near(1, within=OFF), apart.below(APART))


def _sampled(data: lab.Data, name: str) -> lab.Evidence:
    rows = data.simulated.sel(set=name)
    return _one(lab.mean(WORDS["exponent"], rows.exponent), lab.mean(WORDS["apart"], rows.apart))


@study.claim(
    "Sampled GRPO at four learning rates up to η/G = .2, with equal steps, is one curve of η × steps within .05.",
    origin=HERE,
)
def simulated_clock(data):
    return _sampled(data, SETS[0])


@simulated_clock.null("four tasks, a rate each")
def _(data):
    return _sampled(data, SETS[1])


def _lower(data: lab.Data, rates: list[float]) -> lab.Estimate:
    end = data.trained.logged.isel(task=1, step=slice(-LAST, None)).mean("step", skipna=False)
    return lab.difference(
        "accuracy at the end less that at η/G = .2", end.sel(rate=rates), end.isel(rate=SLOW - 1, drop=True)
    )


@study.claim(
    "Sampled GRPO at η/G of 6.4 or more ends lower than at .2, by .02 or more: there noise decides.",
    origin=HERE,
)
def limit(data):
    return _lower(data, list(RATES[SLOW + 2 :])).below(-LOWER).per("rate")


limit.null("η/G = .4, where the end is the same")(lambda data: _lower(data, [RATES[SLOW]]).below(-LOWER))


def _real(data: lab.Data, case: str, number: str) -> lab.Estimate:
    found, error = (
        data.measured[name].sel(case=case, number=number, drop=True) for name in ("found", "error")
    )
    return lab.measured(WORDS[number], found, error)


@study.claim(
    "Of measured runs in which the learning rate alone was varied, 20-fold, times go as 1/rate: exponent 1 within .25.",
    origin=REAL,
)
def measured_exponent(data):
    return _real(data, CASES[0], "exponent").near(1, within=OFF)


@measured_exponent.null("runs in which the group size alone was varied, in place of the rate")
def _(data):
    return _real(data, CASES[1], "exponent").near(1, within=OFF)


@study.claim(
    "Measured runs in which the learning rate alone was varied are one curve of rate × steps within .05.",
    origin=REAL,
)
def measured_curve(data):
    return _real(data, CASES[0], "apart").below(APART)


@measured_curve.null("runs of different code and tasks, a rate each")
def _(data):
    return _real(data, CASES[2], "apart").below(APART)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Runs against steps and against rate × steps, simulated and measured."""
    real = data.has("measured")
    figure, axes = plot.new((9.2, 3.5 * (1 + real)), nrows=1 + real, ncols=2, squeeze=False)
    logged = data.trained.logged.isel(task=1).mean("seed")
    exponent = data.simulated.exponent.sel(set=SETS[0]).mean()
    every = range(len(RATES))
    colors = panels.palette([f"η/G = {panels.plain(rate / GROUP)}" for rate in RATES])
    left, right = axes[0]
    rows = [
        (name, np.arange(1.0, STEPS), logged.isel(rate=i).values[1:])
        for i, name in zip(every, colors, strict=True)
    ]
    panels.frame(
        "Simulated GRPO: eight learning rates, the same steps", left, x="step", y="accuracy of rollouts"
    )
    _one_clock_panels.lines(left, rows, colors, [1.0] * len(rows))
    ends = logged.isel(step=slice(-LAST, None)).mean("step")
    words = (
        f"One curve of η × steps (exponent {exponent:.2f}), until noise ends it lower ({float(ends[-1]):.2f})"
    )
    panels.frame(words, right, x="η × steps", y="accuracy of rollouts", log="x")
    _one_clock_panels.lines(right, rows, colors, list(RATES))
    panels.legend(None, right, loc="upper left", fontsize=7)
    if real:
        _one_clock_panels.measured(data.measured, *axes[1])
    return figure
