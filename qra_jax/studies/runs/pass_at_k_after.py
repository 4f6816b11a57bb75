r"""Does pass@k before training, with pass@1 after, tell pass@k after?

pass@k is the mean of $1-(1-\rho)^k$ over questions, so that its curve before tells how their success rates ρ spread; a
beta distribution is fitted to it. What moves them decides the rest, and pass@1 after says how far they have come:

- *One common shift* of all logits: what questions share, such as a format or a habit. Every question gains.
- *Each by its own clock*: tabular GRPO on two patterns, right and wrong. A question with ρ ≪ 1/G has silent groups and
  stays, so that pass@k after is lower at large k: this is the prediction for questions that share nothing.
- *The curve before*, and *equal questions*, know of no spread or no motion.

Predicted: both rise at every k, own clocks below the common shift by .03 to .06 at k ≥ 4; where training makes every
question certain, right or wrong, each model says too much. The experiments: sampled runs in which questions share a
shift, or move by themselves; a published table of a run of GRPO (0.6B model, grade-school mathematics, 200 questions;
from supervised fine-tuning to 100 steps; G is not said: 8); in the folder of measured runs histories of questions, the
first tenth of visits against the last, and tables of mean@8 and pass@8 of tasks with many solutions. Errors are those
of resampling questions, and for the published table of drawing its questions and 16 rollouts each anew.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.population import Population
from qra_jax.studies import lab, papers
from qra_jax.studies.runs import _passes, _passes_panels
from qra_jax.studies.runs._common_shift import trained
from qra_jax.studies.runs._passes import EQUAL, MAKERS, MODELS, OWN, ROLLOUTS, SHIFT

study = lab.Study(__name__, title="pass@k after training, predicted from pass@k before and pass@1 after")

KS, EIGHT = (1, 2, 4, 8, 16), (1, 2, 4, 8)
"""Numbers of rollouts, and those with groups of 8."""
SIZE, SEEDS, DRAWS = 400, lab.scale(24, 96), lab.scale(60, 400)
"""Questions of a sampled run, runs of a kind, resamplings."""
POINT, FAR, COLLAPSED = 0.01, 0.02, 0.1
"""Differences of pass@k that matter: a point in a table, to a forecast, as a sign of collapse."""
NEEDED = "per-question histories (columns visit1, visit2, …), or a table with columns mean8 and pass8"
WORDS = "predicted less measured, mean of pass@4 and pass@8"
HERE = lab.Derived("docstring of this study")
REAL = lab.Asked(
    "Can one know pass@k after training before it is measured?", (papers.PK_1, papers.PK_1_NARROWER)
)


@study.experiment()
def simulated(run: lab.Run) -> xr.Dataset:
    """Predicted less measured pass@k of sampled runs from the published start, by who made them."""
    start = Population.from_pass_at(dict(zip(KS, _passes.BEFORE, strict=True)))
    excess = np.empty((len(MAKERS), run(SEEDS), len(MODELS), len(KS)))
    for i, j in np.ndindex(excess.shape[:2]):
        rng = np.random.default_rng([run.seed, i, j])
        rates = np.clip(rng.choice(start.rates, SIZE, p=start.weights), 1e-9, 1 - 1e-9)
        options = {"eta": 0.2, "steps": 2000, "until": _passes.AFTER[0]}
        end = trained(rng, rates, common=MAKERS[i] == SHIFT, **options)[0]
        curves = [_passes.curve(rng.binomial(ROLLOUTS, p), np.full(SIZE, ROLLOUTS), KS) for p in (rates, end)]
        excess[i, j] = _passes.predicted(curves[0], curves[1][0], KS) - curves[1]
    return lab.dataset(
        {"excess": (("maker", "seed", "model", "k"), excess)}, {"maker": MAKERS, "model": MODELS, "k": KS}
    )


@study.experiment()
def published(run: lab.Run) -> xr.Dataset:
    """Predicted less reported pass@k after 100 steps, with errors from drawing the tables anew."""
    before, after = map(np.array, (_passes.BEFORE, _passes.AFTER))
    predicted = _passes.predicted(before, after[0], KS)
    drawn = _passes.drawn_anew(np.random.default_rng(run.seed), before, after[0], KS, run(DRAWS))
    values = {"before": ("k", before), "after": ("k", after), "predicted": (("model", "k"), predicted)}
    return lab.dataset(values | _passes.compared(predicted - after, drawn), {"model": MODELS, "k": KS})


@study.experiment(measured=True)
def questions(run: lab.Run) -> xr.Dataset:
    """Predicted less measured pass@k of histories of questions, with errors from resampling these."""
    right, tries, group = _passes.first_and_last(run.measured(NEEDED), max(EIGHT))
    rng = np.random.default_rng(run.seed)

    def curves(index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        before, after = (_passes.curve(right[i][index], tries[i][index], EIGHT) for i in (0, 1))
        return before, after, _passes.predicted(before, after[0], EIGHT, group)

    size = right.shape[1]
    before, after, predicted = curves(np.arange(size))
    again = [curves(rng.integers(0, size, size)) for _ in range(run(DRAWS))]
    values = {"before": ("k", before), "after": ("k", after), "predicted": (("model", "k"), predicted)}
    values |= _passes.compared(predicted - after, np.array([p - a for _, a, p in again]))
    return lab.dataset(values, {"model": MODELS, "k": EIGHT}, questions=size)


@study.experiment(measured=True)
def tables(run: lab.Run) -> xr.Dataset:
    """Predicted less measured pass@8 of the tasks of a table, first checkpoint against the last, by seed."""
    by = _passes.tasks(run.measured(NEEDED))
    found, left_out = {}, []
    for domain, seeds in by.items():
        ends = [(seed[0], seed[-1]) for seed in seeds.values()]
        if any(not 0 < mean < more < 1 for ((mean, more), _) in ends):
            left_out.append(f"{domain} (pass@8 {ends[0][0][1]:.2g} before: no shift moves it)")
            continue
        found[domain] = [
            (*first, *last, *_passes.predicted(np.array(first), last[0], (1, 8))[:2, 1])
            for first, last in ends
        ]
    values = np.array(list(found.values()))
    names = ["mean8 before", "pass8 before", "mean8 after", "pass8 after", SHIFT, OWN]
    coords = {"task": list(found), "number": names}
    return lab.dataset({"values": (("task", "seed", "number"), values)}, coords, left_out="; ".join(left_out))


# ---- claims


def _made(data: lab.Data, models: tuple[str, str]) -> lab.Evidence:
    """Mean of predicted less measured at k = 4 and 8, of the runs of each maker."""
    miss = data.simulated.excess.isel(k=_passes.MIDDLE).mean("k", skipna=False)
    rows = {
        maker: lab.mean(WORDS, miss.sel(maker=maker, model=model, drop=True))
        for maker, model in zip(MAKERS, models, strict=True)
    }
    return lab.stacked("made by", rows).near(0, within=FAR)


@study.claim(
    "Each of two models, fitted to pass@k before, predicts pass@4 and pass@8 of the runs that it makes, within .02.",
    origin=HERE,
)
def simulated_models(data):
    return _made(data, (SHIFT, OWN))


simulated_models.null("each with the runs of the other")(lambda data: _made(data, (OWN, SHIFT)))


def _nearer(rows: xr.Dataset) -> lab.Evidence:
    return lab.measured(
        "distance of the common shift less that of own clocks", rows.nearer, rows["nearer error"]
    ).above(0)


def _nearer_simulated(data: lab.Data) -> lab.Evidence:
    miss = data.simulated.excess.sel(maker=SHIFT, drop=True).isel(k=_passes.MIDDLE).mean("k", skipna=False)
    shift, own = (abs(miss.sel(model=model, drop=True)) for model in (SHIFT, OWN))
    return lab.difference("distance of the common shift less that of own clocks", shift, own).above(0)


@study.claim(
    "pass@4 and pass@8 of the published run are nearer to own clocks than to a common shift.", origin=REAL
)
def published_nearer(data):
    return _nearer(data.published)


published_nearer.null("sampled runs in which questions share a shift")(_nearer_simulated)


@study.claim(
    "pass@4 and pass@8 of the measured histories are nearer to own clocks than to a common shift.",
    origin=REAL,
)
def measured_nearer(data):
    return _nearer(data.questions)


measured_nearer.null("sampled runs in which questions share a shift")(_nearer_simulated)


def _miss(rows: xr.Dataset, model: str) -> lab.Estimate:
    rows = rows.sel(model=model)
    return lab.measured(WORDS, rows.miss, rows["miss error"])


def _made_by(data: lab.Data, maker: str) -> lab.Estimate:
    """The same of sampled runs and the model that made them."""
    miss = data.simulated.excess.sel(maker=maker, model=maker, drop=True)
    return lab.mean(WORDS, miss.isel(k=_passes.MIDDLE).mean("k", skipna=False))


@study.claim(
    "One common shift says at least .01 too much of pass@4 and pass@8 of the published run.", origin=REAL
)
def published_shift(data):
    return _miss(data.published, SHIFT).above(POINT)


@study.claim(
    "One common shift says at least .01 too much of pass@4 and pass@8 of the measured histories.", origin=REAL
)
def measured_shift(data):
    return _miss(data.questions, SHIFT).above(POINT)


for too_much in (published_shift, measured_shift):
    too_much.null("sampled runs in which questions share a shift")(
        lambda data: _made_by(data, SHIFT).above(POINT)
    )


@study.claim(
    "Each question by its own clock predicts pass@4 and pass@8 of the measured histories within .02.",
    origin=REAL,
)
def measured_own(data):
    return _miss(data.questions, OWN).near(0, within=FAR)


measured_own.null("equal questions")(lambda data: _miss(data.questions, EQUAL).near(0, within=FAR))
measured_own.positive("sampled runs in which questions move by themselves")(
    lambda data: _made_by(data, OWN).near(0, within=FAR)
)


@study.claim(
    "In tasks with many solutions pass@8 ends .1 or more below both models, on average over tasks.",
    origin=lab.Asked(
        "Which sign tells a collapse from a common shift or from own clocks?", (papers.PK_1_NARROWER,)
    ),
)
def collapse(data):
    values = data.tables["values"]
    excess = values.sel(number=list(MAKERS)).min("number", skipna=False) - values.sel(
        number="pass8 after", drop=True
    )
    return lab.mean("the lower model less measured", excess.mean("task", skipna=False)).above(COLLAPSED)


@collapse.null("sampled runs of both kinds")
def _(data):
    excess = data.simulated.excess.sel(k=8, drop=True).sel(model=list(MAKERS)).min("model", skipna=False)
    return lab.mean("the lower model less measured", excess.mean("maker", skipna=False)).above(COLLAPSED)


@study.figure
def draw(data: lab.Data) -> Figure:
    """pass@k before, after and as predicted, of the published run and of measured histories; pass@8 of tasks."""
    parts = [("published", "Published run, 0.6B"), ("questions", "Measured histories")]
    shown = [part for part in parts if data.has(part[0])]
    rows = 1 + (len(shown) + data.has("tables") > 1)
    figure, axes = plot.new((9.4, 3.7 * rows), nrows=rows, ncols=2, squeeze=False)
    free = list(axes.ravel())
    _passes_panels.simulated(data.simulated, free.pop(0))
    for name, words in shown:
        _passes_panels.curves(words, data[name], free.pop(0))
    if data.has("tables"):
        _passes_panels.tasks(data.tables["values"], free.pop(0))
    for ax in free:
        ax.remove()
    return figure
