r"""Can the clock of many questions be told when nothing is known of their patterns?

A two-pattern estimator takes the wrong clock where questions have several patterns (`per-question-clocks`). Two
estimators that leave patterns open are tried, on populations of both kinds with known clocks, (4ρ(1 − ρ))^(a − 1):

- *Free mixture.* Each clock gets the best distribution over one library of questions of two to twelve patterns. As all
  clocks share a question's orbit, only speed tells them apart: at most (4ρ(1 − ρ))^a times a common rate and, with
  spread policies or like rates, anything below. Predicted: natural clock (a = 0) and GRPO's mean field (½) differ by a
  few nats where two patterns have many; unless a slow question has to rise far, which like rates forbid.
- *Hierarchical estimator.* Number of patterns, spread of rates, own rates, starts and rise are drawn from a prior along
  with a ∈ U[0, 1.25]; a is regressed on what is summed up of the histories, and tested on populations that it has not
  seen and on peaked base policies (Dirichlet(.3)) outside its prior. It tells clocks if its error is at most .15, a
  third of the distance from 0 to ½; the prior's own spread is .36. Nothing predicts whether it does.

Only then both are put to a real GRPO run (1209 questions), if the folder of measured runs is given, with the question
whether it resembles any population of the prior.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.fit.questions import free, hierarchy, populations
from qra_jax.fit.questions.histories import Histories
from qra_jax.studies import lab
from qra_jax.studies.lab import Asked, Data, Derived, Evidence, Run, dataset, exact, measured, panels, scale
from qra_jax.studies.questions._histories import FIELD, NATURAL, find

study = lab.Study(
    __name__,
    title="Hidden patterns: how well histories tell the clock when the patterns of questions are open",
)
HERE = Derived("docstring of this study")
ASKED = Asked("What would decide which clock a real run has is an estimator that leaves the patterns open.")
REAL = Asked("A real GRPO run over 1209 questions has a history for each of them.")
KINDS, PEAKED = ["two patterns", "several patterns"], "peaked policies"
POWERS = {NATURAL: 0.0, FIELD: 0.5}
MODELS = {"model": ["two patterns", "any patterns"], "clock": list(POWERS)}
NATS, SHARP = 10.0, 0.15
"""Nats that would tell two clocks apart; error of an exponent that would."""
VISITS = 51


@study.experiment()
def mixtures(run: Run) -> xr.Dataset:
    """Log likelihoods of clocks with a free distribution over two patterns or any, for histories of two clocks."""
    size, seeds = run(scale(220, 600)), run(scale(3, 4))
    library = free.library(np.random.default_rng(run.seed), *run(scale((2400, 256), (9000, 512))))
    found = np.full((2, 2, seeds, 2, 2, size), np.nan)
    for kind, maker, seed in np.ndindex(2, 2, seeds):
        rng = np.random.default_rng([run.seed, kind, maker, seed])
        drawn = populations.draw(rng, size) if kind else populations.two_patterns(rng.normal(-1, 3, size))
        own = populations.orbits(*drawn)
        histories = populations.sample(rng, own.under(populations.log_power(own.accuracy, maker / 2)))
        found[kind, maker, seed] = explain(histories, library)
    dims = ("kind", "maker", "seed", "model", "clock", "question")
    return dataset(nats(found, dims), {"kind": list(KINDS), "maker": list(POWERS), **MODELS}, questions=size)


def explain(histories: Histories, library: free.Library) -> np.ndarray:
    """Log likelihoods `[model, clock, question]` of the clocks `POWERS`, with two patterns and with any."""
    every = [
        [free.log_likelihoods(histories, a, library, two=two) for a in POWERS.values()]
        for two in (True, False)
    ]
    return np.array(every)


def nats(found: np.ndarray, dims: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Nats by which clocks are ahead of the natural one, and their standard deviation over questions."""
    ahead = found - found[..., :1, :]
    out = {"nats": ahead.sum(axis=-1), "deviation": np.sqrt(found.shape[-1]) * ahead.std(axis=-1)}
    return {name: (dims[:-1], value) for name, value in out.items()}


@study.experiment()
def prior(run: Run) -> xr.Dataset:
    """Populations of the prior to learn from."""
    drawn = hierarchy.simulate(
        np.random.default_rng([run.seed, 1]), run(scale(160, 1000)), questions=run(scale(220, 1209))
    )
    return dataset({n: (("population", "summary")[: x.ndim], x) for n, x in vars(drawn).items()})


def learnt(prior: xr.Dataset) -> tuple[hierarchy.Simulated, hierarchy.Estimator]:
    """The populations of the prior, and the estimator that was learnt from them."""
    drawn = hierarchy.Simulated(**{str(n): prior[n].values for n in prior.data_vars})
    return drawn, hierarchy.learn(drawn)


@study.experiment(after=["prior"])
def unseen(run: Run) -> xr.Dataset:
    """The hierarchical estimator on populations that it has not seen, of both kinds, and outside its prior."""
    drawn, estimator = learnt(run.done.prior)
    narrow = hierarchy.learn(drawn, ~drawn.several.astype(bool))
    parts = []
    for i, (several, dirichlet) in enumerate(((False, 1.0), (True, 1.0), (True, 0.3))):
        test = hierarchy.simulate(
            np.random.default_rng([run.seed, 2, i]), run(scale(48, 160)), questions=run(scale(220, 1209)),
            dirichlet=(dirichlet,), several=several,
        )  # fmt: skip
        value, half = estimator.interval(test.summaries, 0.1)
        parts.append(
            [
                test.exponent,
                value,
                half,
                narrow.estimate(test.summaries)[0],
                estimator.strangeness(test.summaries),
            ]
        )
    names = ("true", "value", "half", "narrow", "strangeness")
    out = {name: (("kind", "population"), [part[i] for part in parts]) for i, name in enumerate(names)}
    return dataset(out, {"kind": [*KINDS, PEAKED]})


@study.experiment(after=["prior"], measured=True)
def real(run: Run) -> xr.Dataset:
    """The real run under both estimators."""
    histories = find(run)
    _, estimator = learnt(run.done.prior)
    library = free.library(np.random.default_rng(run.seed), *run(scale((2400, 256), (9000, 512))))
    backward = Histories(
        histories.correct[:, ::-1], histories.seen[:, ::-1], histories.group_size, histories.names
    )
    parts = histories.part(visits=slice(0, VISITS)), backward.part(visits=slice(-VISITS, None))
    rows = np.array([hierarchy.summaries(part) for part in parts])
    value, half = estimator.interval(rows, 0.1)
    out = {"value": value, "half": half, "strangeness": estimator.strangeness(rows)}
    explained = nats(explain(histories, library), ("model", "clock", "question"))
    return dataset(
        {n: ("order", x) for n, x in out.items()} | explained, {"order": ["forward", "backward"], **MODELS}
    )


def _hidden(nats: xr.DataArray, deviation: xr.DataArray, clock: str = FIELD) -> Evidence:
    """Nats between a clock and the natural one, as a mean over populations where there are several."""
    nats, deviation = nats.sel(clock=clock), deviation.sel(clock=clock)
    n = nats.sizes.get("seed", 1)
    if "seed" in nats.dims:
        nats, deviation = (
            nats.mean("seed", skipna=False),
            np.sqrt((deviation**2).mean("seed", skipna=False) / n),
        )
    return measured(f"nats of {clock} ahead of the natural clock", nats, deviation, n=n).near(0, within=NATS)


@study.claim(
    "With any patterns allowed, the natural clock and GRPO's mean field explain the histories made by either alike.",
    origin=HERE,
)
def hidden(data):
    own = data.mixtures.sel(model="any patterns")
    return _hidden(own.nats, own.deviation).per("kind", "maker")


@hidden.null("the same, every question of two patterns")
def _(data):
    own = data.mixtures.sel(model="two patterns", kind=KINDS[0])
    return _hidden(own.nats, own.deviation)


def _covers(unseen: xr.Dataset, shift: int = 0) -> Evidence:
    """Share of intervals that cover; for shuffled populations, by chance."""
    missed = abs(unseen.value.roll(population=shift) - unseen.true)
    flags = (missed <= unseen.half).where(np.isfinite(unseen.value))
    return lab.share("90 % intervals that cover the exponent", flags, over="population").above(0.75)


@study.claim(
    "The hierarchical estimator's 90 % intervals cover at least 75 % of populations of either kind.",
    origin=HERE,
)
def covers(data):
    return _covers(data.unseen.sel(kind=list(KINDS)))


covers.null("intervals of other populations")(lambda data: _covers(data.unseen.sel(kind=KINDS[0]), 7))


@study.claim("They do so for peaked base policies, too, which its prior does not have.", origin=HERE)
def outside(data):
    return _covers(data.unseen.sel(kind=PEAKED))


outside.null("intervals of other populations")(lambda data: _covers(data.unseen.sel(kind=PEAKED), 7))


def _error(true: xr.DataArray, value: xr.DataArray) -> Evidence:
    """Root mean square error of an exponent over populations."""
    root = lab.statistic(
        "root mean square error of the exponent", lambda x: np.sqrt((x**2).mean("population", skipna=False)),
        true - value, over="population", to=np.log, back=np.exp,
    )  # fmt: skip
    return root.below(SHARP)


@study.claim(
    "With patterns left open, the hierarchical estimator tells the clock of questions of several.",
    origin=ASKED,
)
def identified(data):
    own = data.unseen.sel(kind=KINDS[1])
    return _error(own.true, own.value)


@identified.null("estimates of other populations")
def _(data):
    own = data.unseen.sel(kind=KINDS[1])
    return _error(own.true, own.value.roll(population=7))


@identified.positive("questions of two patterns, by an estimator that knows it")
def _(data):
    own = data.unseen.sel(kind=KINDS[0])
    return _error(own.true, own.narrow)


@study.claim(
    "With any patterns allowed, the natural clock and GRPO's mean field explain the real run alike.",
    origin=REAL,
)
def hidden_really(data):
    row = data.real.sel(model="any patterns")
    return _hidden(row.nats, row.deviation)


@hidden_really.null("the same, every question of two patterns")
def _(data):
    row = data.real.sel(model="two patterns")
    return _hidden(row.nats, row.deviation)


@study.claim("The real run resembles populations of the hierarchical estimator's prior.", origin=REAL)
def resembles(data):
    return exact(
        "share of the prior that is less unlike the rest", data.real.strangeness.sel(order="forward")
    ).below(0.99)


@resembles.null("the real run backward in time")
def _(data):
    return exact(
        "share of the prior that is less unlike the rest", data.real.strangeness.sel(order="backward")
    ).below(0.99)
