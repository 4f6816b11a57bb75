r"""Can the clock of many questions be told when nothing is known of their patterns?

A two-pattern estimator takes the wrong clock where questions have several patterns (`per-question-clocks`). Two
estimators that leave patterns open are tried, on populations of both kinds with known clocks, (4ρ(1 − ρ))^(a − 1):

- *Free mixture.* Each clock gets the best distribution over one library of questions of two to twelve patterns. As all
  clocks share a question's orbit, only speed tells them apart: at most (4ρ(1 − ρ))^a times a common rate and, with
  spread policies or like rates, anything below. Predicted: natural clock (a = 0) and GRPO's mean field (½) differ by a
  few nats where two patterns have many; unless a slow question has to rise far, which like rates forbid. Asked, too:
  is the maker's clock still the likelier? Populations have κ = 6 or 2, and one rate or lognormal ones (spread .8).
- *Hierarchical estimator.* Number of patterns, spread of rates, own rates, starts and rise are drawn from a prior along
  with a ∈ U[0, 1.25]; a is regressed on what is summed up of the histories, and tested on populations that it has not
  seen and on peaked base policies (Dirichlet(.3)) outside its prior. It tells clocks if its error is at most a third of
  the distance from 0 to ½; the prior's own spread is .36. Nothing predicts whether it does.

Only then both are put to a real GRPO run (1209 questions), if its folder is given; it has to lie within the prior.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.fit.questions import free, hierarchy
from qra_jax.fit.questions.histories import Histories
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _histories as made
from qra_jax.studies.questions._histories import FIELD, NATURAL

study = lab.Study(__name__, title="Hidden patterns: how well histories tell the clock when patterns are open")
HERE = lab.Derived("docstring of this study")
ASKED = lab.Asked(
    "What would decide which clock a real run has is an estimator that leaves the patterns open."
)
REAL = lab.Asked("A real GRPO run over 1209 questions has a history for each of them.")
KINDS, PEAKED = ["two patterns", "several patterns"], "peaked policies"
MODELS = ["two patterns", ANY := "any patterns"]
NATS_AND, VISITS = ("nats", "deviation"), 51
NARROW = "an estimator that takes all questions for such of two patterns"
NATS, SHARP = 10.0, 1 / 6
"""Nats that would tell two clocks apart; error of an exponent that would."""


def _library(run: lab.Run) -> free.Library:
    """Questions that mixtures are over, the same ones for simulated histories and the real run."""
    return free.library(np.random.default_rng(run.shared_seed), *run(lab.scale((2400, 352), (9000, 512))))


@study.experiment()
def mixtures(run: lab.Run) -> xr.Dataset:
    """Log likelihoods of clocks with a free distribution over two patterns or any, for histories of two clocks."""
    size, seeds = run(lab.scale(220, 600)), run(lab.scale(4, 4))
    library = _library(run)
    found = np.full((2, 2, 2, seeds, 2), np.nan)
    for kind, maker, seed in np.ndindex(2, 2, seeds):
        rng = np.random.default_rng([run.seed, kind, maker, seed])
        histories = made.mixed(rng, maker / 2, size, several=bool(kind), setting=seed)
        found[:, kind, maker, seed] = made.ahead(histories, library)
    both = {name: (("kind", "maker", "seed", "model"), x) for name, x in zip(NATS_AND, found, strict=True)}
    return lab.dataset(both, {"kind": KINDS, "maker": [NATURAL, FIELD], "model": MODELS}, questions=size)


@study.experiment()
def prior(run: lab.Run) -> xr.Dataset:
    """Populations of the prior to learn from."""
    drawn = hierarchy.simulate(
        np.random.default_rng([run.seed, 1]), run(lab.scale(240, 1000)), questions=run(lab.scale(400, 1209))
    )
    return lab.dataset({n: (("population", "summary")[: x.ndim], x) for n, x in vars(drawn).items()})


@study.experiment(after=["prior"])
def unseen(run: lab.Run) -> xr.Dataset:
    """The hierarchical estimator on populations that it has not seen, of both kinds, and outside its prior."""
    drawn, estimator = made.learnt(run.done.prior)
    narrow = hierarchy.learn(drawn, ~drawn.several.astype(bool))
    parts, size = [], run(lab.scale(400, 1209))
    for i, (several, dirichlet) in enumerate(((False, 1.0), (True, 1.0), (True, 0.3))):
        rng, count = np.random.default_rng([run.seed, 2, i]), run(lab.scale(80, 200))
        test = hierarchy.simulate(rng, count, questions=size, dirichlet=(dirichlet,), several=several)
        both = [x for one in (estimator, narrow) for x in one.interval(test.summaries, 0.1)]
        parts.append((test.exponent, *both, estimator.strangeness(test.summaries)))
    names = ("true", "value", "half", "narrow", "narrow half", "strangeness")
    out = {name: (("kind", "population"), [part[i] for part in parts]) for i, name in enumerate(names)}
    return lab.dataset(out, {"kind": [*KINDS, PEAKED]})


@study.experiment(after=["prior"], measured=True)
def real(run: lab.Run) -> xr.Dataset:
    """The real run under both estimators."""
    histories = made.find(run)
    _, estimator = made.learnt(run.done.prior)
    library = _library(run)
    swap = (histories.correct[:, ::-1], histories.seen[:, ::-1], histories.group_size, histories.names)
    parts = histories.part(visits=slice(0, VISITS)), Histories(*swap).part(visits=slice(-VISITS, None))
    rows = np.array([hierarchy.summaries(part) for part in parts])
    value, half = estimator.interval(rows, 0.1)
    orders = {"value": value, "half": half, "strangeness": estimator.strangeness(rows)}
    out = {name: ("order", x) for name, x in orders.items()}
    out |= {name: ("model", x) for name, x in zip(NATS_AND, made.ahead(histories, library), strict=True)}
    return lab.dataset(out, {"order": ["forward", "backward"], "model": MODELS})


@study.claim(
    "With any patterns allowed, the natural clock and GRPO's mean field explain the histories made by either alike.",
    origin=HERE,
)
def hidden(data):
    return made.between(data.mixtures.sel(model=ANY)).near(0, within=NATS).per("kind", "maker")


@hidden.null("the same, every question of two patterns")
def _(data):
    return made.between(data.mixtures.sel(model=MODELS[0], kind=KINDS[0])).near(0, within=NATS)


def _told(data: lab.Data, words: str, signs: list[int]) -> lab.Evidence:
    """Nats toward a clock for each maker, as a mean over all populations."""
    rows = data.mixtures.sel(model=ANY)
    toward = xr.DataArray(signs, coords={"maker": rows.maker})
    rows = rows.assign(nats=rows.nats * toward).rename(seed="draw").stack(seed=("kind", "maker", "draw"))
    return made.between(rows, f"nats by which {words} is ahead").above(NATS)


@study.claim(
    "With any patterns allowed, the clock that made the histories is the likelier of the two by ten nats on average.",
    origin=ASKED,
)
def told(data):
    return _told(data, "the clock that made them", [-1, 1])


told.null("one and the same clock, whoever made them")(lambda data: _told(data, FIELD, [1, 1]))


def _covers(unseen: xr.Dataset, value: str = "value", half: str = "half") -> lab.Evidence:
    """Share of intervals that cover: 15 points below what they promise would matter."""
    missed = abs(unseen[value] - unseen.true)
    flags = lab.where_known(missed <= unseen[half], missed, unseen[half])
    return lab.share("90 % intervals that cover the exponent", flags, over="population").above(0.75)


@study.claim(
    "The hierarchical estimator's 90 % intervals cover at least 75 % of populations of either kind.",
    origin=HERE,
)
def covers(data):
    return _covers(data.unseen.sel(kind=list(KINDS)))


covers.null(NARROW)(lambda data: _covers(data.unseen.sel(kind=KINDS[1]), "narrow", "narrow half"))


@study.claim("They do so for peaked base policies, too, which its prior does not have.", origin=HERE)
def outside(data):
    return _covers(data.unseen.sel(kind=PEAKED))


outside.null(NARROW)(lambda data: _covers(data.unseen.sel(kind=PEAKED), "narrow", "narrow half"))


def _error(data: lab.Data, kind: str, value: str) -> lab.Evidence:
    """Root mean square error of an exponent over populations."""
    own, to = data.unseen.sel(kind=kind), {"to": np.log, "back": np.exp}
    root = lambda x: np.sqrt((x**2).mean("population", skipna=False))  # noqa: E731
    words, missed = "root mean square error of the exponent", own.true - own[value]
    return lab.statistic(words, root, missed, over="population", **to, together=True).below(SHARP)


@study.claim(
    "With patterns left open, the hierarchical estimator tells the clock of questions of several.",
    origin=ASKED,
)
def identified(data):
    return _error(data, KINDS[1], "value")


identified.null(NARROW)(lambda data: _error(data, KINDS[1], "narrow"))
identified.positive("two patterns, by an estimator that knows it")(
    lambda data: _error(data, KINDS[0], "narrow")
)


@study.claim(
    "With any patterns allowed, the natural clock and GRPO's mean field explain the real run alike.",
    origin=REAL,
)
def hidden_really(data):
    return made.between(data.real.sel(model=ANY)).near(0, within=NATS)


@hidden_really.null("the same, every question of two patterns")
def _(data):
    return made.between(data.real.sel(model=MODELS[0])).near(0, within=NATS)


def _within(row: xr.Dataset) -> lab.Evidence:
    """No stranger than most of the prior, and with an exponent that is not at its edge."""
    strange = lab.exact("share of the prior that is less unlike the rest", row.strangeness).below(0.99)
    return lab.all_of(strange, lab.exact("exponent estimated", row.value).between(0.05, 1.2))


@study.claim(
    "The real run lies within the hierarchical estimator's prior, off the edge of its exponents.", origin=REAL
)
def resembles(data):
    return _within(data.real.sel(order="forward"))


resembles.null("the real run backward in time")(lambda data: _within(data.real.sel(order="backward")))


@resembles.positive("the simulated population whose exponent is nearest to ½")
def _(data):
    rows = data.unseen.sel(kind=KINDS[1])
    return _within(rows.isel(population=int(np.argmin(abs(rows.true.values - 0.5)))))


# ---- figure


@study.figure
def draw(data: lab.Data) -> Figure:
    """Nats between two clocks with two patterns and with any; exponents estimated against true ones."""
    figure, (left, right) = plot.new((9.2, 3.9), ncols=2)
    nats = data.mixtures.nats.stack(made=("kind", "maker"))
    toward = np.where(nats.maker == FIELD, 1, -1) * nats.transpose("model", "seed", "made")
    ahead = [int((toward.sel(model=model) > 0).sum()) for model in MODELS]
    labels = [f"{kind},\n{maker}" for kind, maker in nats.made.values]
    nats = nats.drop_vars(["made", "kind", "maker"]).assign_coords(made=labels)
    title = f"Maker's clock ahead in {ahead[0]} of {toward[0].size} with two patterns, {ahead[1]} with any"
    panels.frame(title, left, x="histories made by", y="nats by which GRPO's mean field is ahead")
    panels.dots(nats, left, x="made", by="model", over="seed", nudge=0.1)
    panels.mark(0, left, axis="y")
    panels.legend(None, left)
    unseen = data.unseen.sel(kind=KINDS)
    errors = [float(np.sqrt((x**2).mean())) for x in (unseen.value - unseen.true)]
    title = f"Any patterns: misses by {errors[0]:.2f} (two patterns), {errors[1]:.2f} (several)"
    panels.frame(title, right, x="exponent of the clock", y="exponent estimated")
    for kind, color in zip(KINDS, (plot.BEST, plot.RIVAL), strict=True):
        true, value = (unseen[name].sel(kind=kind) for name in ("true", "value"))
        right.plot(true, value, "o", markersize=3, color=color, label=kind)
    right.plot(hierarchy.EXPONENTS, hierarchy.EXPONENTS, color=plot.MUTED, zorder=0)
    if data.has("real"):
        row = data.real.sel(order="forward")
        ends = np.clip([row.value - row.half, row.value + row.half], *hierarchy.EXPONENTS).tolist()
        panels.mark(tuple(ends), right, "real run, 90 %", axis="y")
    panels.legend(None, right)
    return figure
