"""How often does training stall, and what decides it?

Regime 2, some suboptimal pattern being better than base accuracy, is where Theorem 5.4 bounds the stall, and SFT on
good data is said to mitigate it; neither says how often a base model stalls. Theory of this package predicts when:
while a rival leads, time passes at the rate Π g_s of the gaps between the lines of the orbit, so that percentiles of
the time over base models should be those of its leading order (`theory.transition_time_estimate`). Under the natural
gradient the shares are π_ref exp(pτ), and nothing should stall.

Experiment: random base models, π_ref uniform on the simplex (Dirichlet(1)), success rates iid U[0, 1], no selection.
The time is that of the expected policy-gradient flow to π(r*) = .99 at unit learning rate, exact on the orbit; a base
model stalls if it is above 10⁶. The first n patterns of a draw of 50 are a draw of n, so that sizes are paired. Given
π_ref(r*), the proportions of the rest do not depend on it, so sorting problems by π_ref(r*) is the same as mixing r*
into the base model, which is what SFT on it does. Predictors of a stall are compared by AUC, the chance that one orders
a stalled and an unstalled problem rightly (½ is useless).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, random
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.regimes._draws import auc, narrowed, natural_bound

TITLE = "Stall atlas: with 10 patterns one random base model in four stalls, mass on the best one tells which"
study = lab.Study(__name__, title=TITLE)

SIZES, MIDDLE, TARGET = (2, 3, 5, 10, 20, 50), 10, 0.99
STALL, ENDLESS, BINS = np.log(1e6), np.log(1e12), np.geomspace(1e-3, 1, 13)
PREDICTORS = {
    "π_ref(r*) × (p* − p₂)": ("mass_gap", -1),
    "π_ref(r*)": ("mass", -1),
    "γ": ("gamma", 1),
    "leaders on the way": ("leaders", 1),
    "p* − p₂": ("gap", -1),
    "number of rivals": ("rivals", 1),
    "regime": ("regime", 1),
    "base accuracy": ("accuracy", -1),
}
"""What each predictor of a stall is called, its data, and the sign with which it should go with one."""


def _traits(problem: Problem) -> dict[str, jax.Array]:
    """What could tell a stall beforehand."""
    regime, mass = theory.regime(problem), problem.ref[problem.best]
    gap = problem.success[problem.best] - problem.second_best
    some = {"mass": mass, "gap": gap, "mass_gap": mass * gap, "accuracy": problem.accuracy_ref}
    more = {"regime": regime.entangled, "rivals": regime.rivals, "gamma": regime.gamma}
    return some | more | {"leaders": orbit.dominance(problem).count}


@study.experiment()
def atlas(run: lab.Run) -> xr.Dataset:
    """Log times to the target, and what might explain them; the leading order of T₀ with few patterns."""
    keys = jax.random.split(run.key, run(lab.scale(1500, 12_000)))
    drawn = jax.jit(jax.vmap(lambda key: random(key, SIZES[-1])))(keys)
    few = jax.tree.map(lambda leaf: leaf[:, :MIDDLE], drawn)
    every = jax.tree.map(lambda *leaf: jnp.concatenate(leaf), *(narrowed(drawn, n) for n in SIZES))
    log_time = many(partial(orbit.log_hitting_time, target=TARGET))(every)
    best = np.arange(len(log_time)), np.asarray(every.best)
    entangled = jax.jit(jax.vmap(theory.regime))(every).entangled
    each = {"log_time": log_time, "entangled": entangled, "share": np.asarray(every.ref)[best]}
    each["natural"] = natural_bound(every, TARGET)
    values = {name: (("n", "problem"), np.reshape(row, (len(SIZES), -1))) for name, row in each.items()}
    values |= {name: ("problem", row) for name, row in many(_traits)(narrowed(few, MIDDLE)).items()}
    estimate = many(theory.transition_time_estimate)
    laws = {"estimate": (("few", "problem"), [estimate(narrowed(few, n)) for n in (5, MIDDLE)])}
    return lab.dataset(values | laws, {"n": list(SIZES), "few": [5, MIDDLE]})


def _long(data: lab.Data, name: str = "log_time", limit: float = STALL) -> xr.DataArray:
    return (data.atlas[name] > limit).where(data.atlas[name].notnull())


def _quantiles(data: lab.Data, patterns: int) -> lab.Evidence:
    """Distance between percentiles of the time and of twice T₀'s leading order, over the same base models."""

    def distance(*rows: xr.DataArray) -> xr.DataArray:
        low, high = (row.quantile([0.9, 0.99], "problem") for row in rows)
        return (high + np.log(2) - low) / np.log(10)

    times, laws = data.atlas.log_time.sel(n=MIDDLE), data.atlas.estimate.sel(few=patterns)
    words = "decades between the percentile of the estimate and that of the time"
    return lab.statistic(words, distance, times, laws, over="problem", draws=200).near(0, within=0.3)


LEADING = lab.Derived("theory.transition_time_estimate", (papers.QRA_3,))


@study.claim(
    "With 10 patterns the 90th and 99th percentiles of the time are twice those of T₀.", origin=LEADING
)
def percentiles(data):
    return _quantiles(data, MIDDLE)


@percentiles.null("the leading order for the first 5 of the same patterns")
def _(data):
    return _quantiles(data, 5)


def _more(data: lab.Data, name: str) -> lab.Evidence:
    """Rise of the share that stalls from one number of patterns to the next, over the same draws."""
    stalls, endless = (_long(data, name, limit) * 1.0 for limit in (STALL, ENDLESS))
    rise = lab.mean("rise of the share beyond 1e6", stalls.sel(n=slice(3, None)).diff("n"), "problem")
    late = lab.mean("rise of the share beyond 1e12", endless.sel(n=slice(5, None)).diff("n"), "problem")
    return lab.all_of(rise.above(0.01), late.above(0.01))


@study.claim("The more patterns, the more base models stall, beyond 1e6 and beyond 1e12.", origin=LEADING)
def patterns(data):
    return _more(data, "log_time")


@patterns.null("a bound on the times of the natural gradient on the same problems")
def _(data):
    return _more(data, "natural")


def _stalled(data: lab.Data, *, regime: int, mass: float = 1.0) -> lab.Estimate:
    chosen = (data.atlas.entangled == (regime == 2)) & (data.atlas.share < mass)
    if regime == 2:
        chosen = chosen & (data.atlas.n == MIDDLE)
    flags = _long(data).values[chosen.values]
    return lab.share(f"share of Regime {regime} that stalls", xr.DataArray(flags, dims="problem"))


CONSTANT = lab.Asked("O(1/ε) leaves its constant open, which is large near a tie.", (papers.QRA_2_RATE,))


@study.claim("In Regime 1 fewer than one random base model in a hundred stalls.", origin=CONSTANT)
def fast(data):
    return _stalled(data, regime=1).below(0.01)


@fast.null("Regime 2, with 10 patterns")
def _(data):
    return _stalled(data, regime=2).below(0.01)


BOUNDED = lab.Asked("The paper bounds the time in Regime 2; is that regime what stalls?", (papers.QRA_3,))


@study.claim("In Regime 2 most random base models with 10 patterns stall.", origin=BOUNDED)
def entangled(data):
    return _stalled(data, regime=2).above(0.5)


@entangled.null("Regime 1")
def _(data):
    return _stalled(data, regime=1).above(0.5)


@entangled.positive("Regime 2 with less than .01 on the best pattern")
def _(data):
    return _stalled(data, regime=2, mass=0.01).above(0.5)


def _auc(data: lab.Data, name: str) -> lab.Estimate:
    """Chance that a predictor ranks a stalled problem above one that does not stall, with 10 patterns."""
    key, sign = PREDICTORS[name]
    score, flags = sign * data.atlas[key].astype(float), _long(data).sel(n=MIDDLE)
    return lab.statistic(f"AUC of {name} for a stall", auc, score, flags, over="problem", draws=200)


@study.claim(
    "Mass on r* tells which base models with 10 patterns stall: its AUC is above .85.", origin=LEADING
)
def mass(data):
    return _auc(data, "π_ref(r*)").above(0.85)


@mass.null("the regime in its place")
def _(data):
    return _auc(data, "regime").above(0.85)


def _removes(data: lab.Data, name: str) -> lab.Evidence:
    value, flags = data.atlas[name].values, _long(data).sel(n=MIDDLE)
    low, high = np.quantile(value, [0.1, 0.8])
    return lab.all_of(
        lab.share(f"share that stalls in the lowest tenth by {name}", flags[value < low]).above(0.8),
        lab.share("in the highest fifth", flags[value > high]).below(0.05),
    )


SFT = lab.Asked("SFT on the best pattern is such mass.", (papers.QRA_5,))


@study.claim("More mass on the best pattern removes the stall (10 patterns).", origin=SFT)
def removes(data):
    return _removes(data, "mass")


@removes.null("base accuracy in its place")
def _(data):
    return _removes(data, "accuracy")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Survival curves; stalled share against mass on the best pattern; what predicts a stall."""
    figure, (left, middle, right) = plot.new((9.8, 3.7), ncols=3, width_ratios=[1.25, 1, 0.8])
    colors, stalls = dict(zip(SIZES, plot.CYCLE, strict=False)), _long(data).mean("problem")
    shares = [f"{float(stalls.sel(n=n)):.0%}" for n in SIZES]
    title = f"{shares[3]} stall with n = {MIDDLE}, {shares[-1]} with n = {SIZES[-1]}"
    panels.frame(title, left, x="time t", y="share with π(r*) < .99 at time t", xlim=(0, 62), ylim=(0, 1))
    decades = (data.atlas.log_time / np.log(10)).clip(0)
    panels.survival(decades, left, of="problem", by="n", colors=colors)
    for n, text in zip(SIZES[2:], shares[2:], strict=True):
        panels.note((6, float(stalls.sel(n=n))), left, text, color=colors[n], dot=True)
    tenth = float(decades.sel(n=MIDDLE).quantile(0.9))
    text, shade = f"n = 10: one in ten\nbeyond 10$^{{{tenth:.1f}}}$", colors[MIDDLE]
    panels.note((tenth, 0.1), left, text, shift=(70, 40), color=shade, line=True)
    left.set_xticks([0, 6, 12, 20, 40, 60], ["1", *(f"10$^{{{tick}}}$" for tick in (6, 12, 20, 40, 60))])
    panels.legend(None, left, loc="upper right")
    _by_mass(data, middle, colors)
    scores = {name: _auc(data, name) for name in PREDICTORS}
    ranked = dict(sorted(scores.items(), key=lambda row: -float(row[1].value)))
    x, ticks = "AUC for a stall, n = 10", [0.5, 0.75, 1]
    panels.frame("The regime says little", right, x=x, y="", xticks=ticks, xlim=(0.45, 1.02))
    panels.forest(ranked, right, expected=0.5)
    return figure


def _by_mass(data: lab.Data, ax: Axes, colors: dict[int, str]) -> None:
    """Share that stalls by bin of π_ref(r*), where a bin holds at least 20 problems."""
    x, y = "mass on the best pattern π_ref(r*)", "share that stalls beyond 10$^6$"
    panels.frame(
        "Mass on the best pattern decides", ax, x=x, y=y, log="x", xlim=(1e-3, 1), ylim=(-0.02, 1.02)
    )
    for n in SIZES[1:]:
        place, flags = np.digitize(data.atlas.share.sel(n=n), BINS), _long(data).sel(n=n)
        bins = np.array([i for i in range(1, len(BINS)) if (place == i).sum() >= 20])
        rows = [lab.share("", flags[place == i], "problem") for i in bins]
        center, ends = np.sqrt(BINS[bins] * BINS[bins - 1]), np.array([row.interval(0.05) for row in rows])
        ax.fill_between(center, *ends.T, color=colors[n], alpha=0.15, linewidth=0)
        ax.plot(center, [float(row.value) for row in rows], "o-", color=colors[n])
