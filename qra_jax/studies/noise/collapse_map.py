r"""When does sampling noise make training lose the best pattern, and for how long?

Two patterns, success rates .9 and .6, no regulariser: expected training raises x = π(r*) at every step. In the log odds
z of r* one rollout moves z by ±2ηA/G when it is r*, and all rollouts together by O(ηx). So with ηx ≪ 1 z is a random
walk with jumps of size η/G, run on the clock ∫ x dt: the slower, the rarer r* is. Its Lundberg exponent y(x)
(`theory.lundberg_exponent`, in which η does not occur) gives the chance that x is ever below ε,

$$ P \approx \exp\Bigl[-\frac{G}{2\eta}\int_\varepsilon^{x_0}\frac{y(x)\,dx}{x(1-x)}\Bigr]
   \approx (\varepsilon/x_0)^\kappa, \qquad \kappa = \frac{y\,G}{2\eta}. $$

For REINFORCE z sinks continuously and jumps only up, and the formula has no prefactor; where jumps go down, too (GRPO),
it is an upper bound. REINFORCE's y does not depend on G, so that loss is a function of η/G; GRPO's y does.

Nothing is absorbing in the tabular model: from ε expected training takes a time ~ 1/ε to come back. As P(x < ε) ∝ ε^κ,
the time until the best pattern leads has a power-law tail, P(T > t) ∝ t^{−κ}, with infinite mean where κ < 1.

The experiments: sampled runs over (algorithm, x₀, G, η/G), each at least as long as t = 2000, with expected training of
the same cells beside, and two cells followed for long. A run counts as lost once x was below ε = 10⁻³ at any record.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import Algorithm, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.noise import _losses
from qra_jax.training import measure

study = lab.Study(__name__, title="Collapse map: how often noise loses a rare best pattern, and for how long")

SUCCESS, STARTS, NAMES = (0.9, 0.6), (0.01, 0.03, 0.1), ("REINFORCE", "GRPO")
GROUPS, RATIOS = lab.scale((2, 16), (2, 4, 8, 16, 32, 64)), np.geomspace(0.25, 4.0, 9)
"""Group sizes; η/G, in steps of √2."""
LOST, RISK, SMALL, HORIZON = 1e-3, 0.05, 0.3, 2000.0
"""What counts as lost; share of lost runs that matters; ηx₀ that is still small; time of the shortest run."""
MANY = 100
"""Losses that the formula must expect in a cell for half of them to be told from all."""
GROUP, START = 8, 0.03
SOON, LATE = 500.0, 10 / (2 * START * (SUCCESS[0] - SUCCESS[1]))
"""A time too short for expected training to return from LOST; ten times what it takes from START."""
LAW, OTHER = lab.Derived("theory.loss_exponent"), "REINFORCE's runs against the exponent of GRPO"


def _members(group: int) -> list[Algorithm]:
    return [replace(reinforce(group_size=group), name=NAMES[0]), replace(grpo(group), name=NAMES[1])]


def _path(key: jax.Array, algorithm: Algorithm, start: Any, rate: Any, **options: Any) -> jax.Array:
    """log π(r*) at each record."""
    start, rate = jnp.float32(start), jnp.float32(rate)
    problem = Problem(jnp.log(jnp.stack([start, 1 - start])), jnp.asarray(SUCCESS, jnp.float32))
    best = {"best": lambda log_policy, _: log_policy[0]}
    return measure(best, key, problem, algorithm=algorithm, learning_rate=rate, **options).values["best"]


@study.experiment()
def losses(run: lab.Run) -> xr.Dataset:
    """How low π(r*) went in sampled runs, and the exponent of the law; for each group size a program."""
    parts, exponents, seeds = [], [], run(lab.scale(400, 1500))
    law = partial(theory.loss_exponent, success=SUCCESS, level=LOST)
    for group in run(GROUPS):
        every = max(1, round(HORIZON / (RATIOS[0] * group) / 400))
        options = {"steps": every * math.ceil(HORIZON / (RATIOS[0] * group) / every), "record_every": every}

        def low(cell, key, group=group, options=options):
            return {"lowest": _path(key, cell.algorithm, cell.start, group * cell.ratio, **options).min()}

        axes = {"algorithm": _members(group), "start": STARTS, "ratio": RATIOS}
        parts.append(
            lab.cells(low, key=jax.random.fold_in(run.key, group), seeds=seeds, axes=axes, block=256)
        )
        exponents.append([[law(each, x) for x in STARTS] for each in _members(group)])
    found: Any = xr.concat(parts, xr.DataArray(list(run(GROUPS)), dims="group", name="group"))
    return found.assign(exponent=(("group", "algorithm", "start"), exponents))


@study.experiment({"algorithm": _members(64), "start": STARTS, "group": GROUPS, "ratio": RATIOS})
def expected(cell):
    """Expected training of the same cells: π(r*) at its least, as a multiple of the start, and at the end."""
    algorithm, rate = cell.algorithm.with_group_size(cell.group), cell.group * cell.ratio
    path = _path(jax.random.key(0), algorithm, cell.start, rate, mode="mean", steps=4000)
    return {"least": jnp.exp(path.min()) / cell.start, "last": jnp.exp(path[-1])}


@study.experiment({"ratio": (0.6, 1.2)}, seeds=lab.scale(1500, 4000), block=256)
def long(cell, key):
    """REINFORCE for long: when π(r*) is above ½ first; its least value; its values soon after a loss and at the end."""
    every, rate = 4, GROUP * cell.ratio
    best = _path(key, reinforce(group_size=GROUP), START, rate, steps=4000, record_every=every)
    time, won, lost = jnp.arange(len(best)) * every * rate, best > jnp.log(0.5), best < jnp.log(LOST)
    first = jnp.where(jnp.any(won), time[jnp.argmax(won)], jnp.inf)
    soon = jnp.argmax(lost) + jnp.round(SOON / (every * rate)).astype(int)
    return {"time": first, "end": time[-1], "lowest": best.min(), "last": best[-1], "soon": best[soon]}


def _lost(data: lab.Data) -> xr.DataArray:
    """Which runs are lost; NaN where that is not known."""
    return lab.where_known(data.losses.lowest < math.log(LOST), data.losses.lowest)


def _among(flags: xr.DataArray, where: xr.DataArray) -> xr.DataArray:
    flags, where = xr.broadcast(flags, where)
    return xr.DataArray(flags.values[where.values], dims="member")


def _risky(data: lab.Data, where: xr.DataArray) -> lab.Evidence:
    return lab.share("share of runs lost", _among(_lost(data), where)).above(RISK)


@study.claim("Sampled training loses a rare pattern that expected training of the cell finds.", origin=LAW)
def loses(data):
    last, least = (data.expected[name].min(skipna=False) for name in ("last", "least"))
    wins = lab.exact("π(r*) at the end of expected training", last).above(0.99)
    rises = lab.exact("least π(r*) of expected training ÷ start", least).above(0.999)
    return lab.all_of(wins, rises, _risky(data, data.losses.exponent < data.losses.ratio))


@loses.null("cells for which the law says less than one run in a thousand")
def _(data):
    return _risky(data, data.losses.exponent > data.losses.ratio * math.log(1000))


def _formula(data: lab.Data, runs: str, law: str) -> tuple[xr.DataArray, ...]:
    """Which runs are lost; the share that the law says; where steps are small, so that it should hold."""
    small = data.losses.start * data.losses.group * data.losses.ratio <= SMALL
    said = np.exp(-data.losses.exponent.sel(algorithm=law, drop=True) / data.losses.ratio)
    return _lost(data).sel(algorithm=runs, drop=True), said, small


def _exact_law(data: lab.Data, law: str) -> lab.Evidence:
    cells, words = _formula(data, NAMES[0], law), f"REINFORCE against {law}'s formula"
    slope, total = _losses.slope(words, *cells), _losses.total(words, *cells)
    return lab.all_of(slope.near(1.0, within=0.15), total.near(1.0, within=0.2))


@study.claim("REINFORCE loses it with probability exp(−(G/2η) ∫ y dx/(x(1−x))) where ηx₀ ≤ .3.", origin=LAW)
def law(data):
    return _exact_law(data, "REINFORCE")


law.null(OTHER)(lambda data: _exact_law(data, "GRPO"))


def _below(data: lab.Data, runs: str) -> lab.Evidence:
    """Shares lost below the formula of GRPO: in cells with enough losses expected, and over all cells."""
    cells, words = _formula(data, runs, "GRPO"), f"{runs} against GRPO's formula"
    lost, said = _losses.expecting(MANY, *cells)
    each = lab.share(f"runs lost, {words}", lost, "seed").below(said)
    return lab.all_of(each, _losses.total(words, *cells).below(1.0))


@study.claim(
    "For GRPO, whose log odds jump downwards, too, the formula is an upper bound where ηx₀ ≤ .3: over all cells, and "
    f"in each in which it expects {MANY} losses or more.",
    origin=LAW,
)
def bound(data):
    return _below(data, "GRPO")


bound.null(OTHER)(lambda data: _below(data, "REINFORCE"))


def _same(data: lab.Data, root: bool) -> lab.Evidence:
    return _losses.apart(_lost(data), root).below(0.01).per("algorithm", "start")


@study.claim(
    "How often the best pattern is lost is a function of η/G, the same for every G that was tested, up to a tenth of "
    "the curve's height.",
    origin=LAW,
)
def curve(data):
    return _same(data, root=False)


curve.null("against η/√G, the scaling of one step's signal to noise")(lambda data: _same(data, root=True))


def _back(data: lab.Data, at: str) -> lab.Evidence:
    low = data.long.lowest
    leads = lab.where_known(data.long[at] > math.log(0.5), data.long[at], low)
    return lab.share(
        "of the lost runs, those in which it leads", _among(leads, ~(low >= math.log(LOST)))
    ).above(0.5)


@study.claim("What noise has lost is not lost for good: in most of these runs it leads later.", origin=LAW)
def back(data):
    return _back(data, "last")


back.null("the same runs soon after the loss")(lambda data: _back(data, "soon"))


def _power(algorithm: Algorithm, ratio: Any) -> Any:
    """κ = yG/2η for the rarest patterns."""
    return float(theory.lundberg_exponent(algorithm, 1e-6, success=SUCCESS)) / 2 / ratio


def _tails(data: lab.Data, algorithm: Algorithm) -> lab.Evidence:
    end = data.long.end.isel(seed=0, drop=True)
    power = lab.tail("power of the tail of P(T > t)", data.long.time, since=LATE, until=end)
    return power.near(_power(algorithm, data.long.ratio), within=0.25, relative=True)


@study.claim("The time until it leads has a tail t^{−yG/2η}, so no mean where η/G > y/2.", origin=LAW)
def tail(data):
    return _tails(data, reinforce(group_size=GROUP))


tail.null(OTHER)(lambda data: _tails(data, grpo(GROUP)))


@study.figure
def draw(data: lab.Data) -> Figure:
    """The share lost against η/G, for each algorithm; waiting times."""
    figure, axes = plot.new((10.2, 3.7), ncols=3)
    apart = _losses.apart(_lost(data)).value.clip(min=0).max("start") ** 0.5
    for name, ax in zip(NAMES, axes[:2], strict=True):
        title = f"{name}: curves of several G are apart by up to {float(apart.sel(algorithm=name)):.0%}"
        panels.frame(title, ax, x="η/G", y="share of runs lost", log="xy", ylim=(1e-3, 1.1))
        of = {"algorithm": name}
        _losses.draw(_lost(data).mean("seed").sel(of), data.losses.exponent.sel(of), ax)
    panels.legend(None, axes[0], loc="lower right", title="lines: formula,\nleast and largest G")
    again = float(_back(data, "last").tests()[0].estimate.value)
    title, y = f"Lost is late: it leads at the end of {again:.0%} of these runs", "share with π(r*) < ½ still"
    panels.frame(title, axes[2], x="time t = η · steps", y=y, log="xy", ylim=(0.02, 1.1), xlim=(20, 1e5))
    _losses.draw_times(data.long.time, _power(reinforce(group_size=GROUP), data.long.ratio), LATE, axes[2])
    panels.legend(None, axes[2], loc="lower left", title=f"REINFORCE, x₀ = {panels.plain(START)}")
    return figure
