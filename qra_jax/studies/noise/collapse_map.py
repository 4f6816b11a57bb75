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
from qra_jax.training import measure

study = lab.Study(__name__, title="Collapse map: how often noise loses a rare best pattern, and for how long")

SUCCESS, STARTS, NAMES = (0.9, 0.6), (0.01, 0.03, 0.1), ("REINFORCE", "GRPO")
GROUPS, RATIOS = lab.scale((2, 16), (2, 4, 8, 16, 32)), np.geomspace(0.25, 4.0, 9)
"""Group sizes; η/G, in steps of √2."""
LOST, RISK, SMALL, HORIZON = 1e-3, 0.05, 0.3, 2000.0
"""What counts as lost; share of lost runs that matters; ηx₀ that is still small; time of the shortest run."""
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
    return (data.losses.lowest < math.log(LOST)).where(data.losses.lowest.notnull())


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


def _formula(data: lab.Data, runs: str, law: str) -> tuple[lab.Estimate, lab.Estimate]:
    """Slope of −log(share lost) against the law's exponent; runs lost ÷ formula, by G. Where steps are small."""
    lost, n, both = _lost(data).sel(algorithm=runs), data.losses.sizes["seed"], ["start", "ratio"]
    p, said = lost.mean("seed", skipna=False), data.losses.exponent.sel(algorithm=law) / lost.ratio
    small, error = lost.start * lost.group * lost.ratio <= SMALL, (p * (1 - p) / n) ** 0.5
    some, inside = small & ~(p * n < 10) & ~(p > 0.9), p.where(p > 0, 1 / n)
    words = f"−log(share lost), {runs}, against the exponent of {law}: slope"
    slope = lab.line(words, -np.log(inside), said, error / inside, use=some)
    total = np.exp(-said).where(small).sum(both)
    value = p.where(small, 0.0).sum(both, skipna=False) / total
    spread = np.sqrt((error**2).where(small, 0.0).sum(both, skipna=False)) / total
    return slope, lab.measured(f"runs of {runs} lost ÷ formula of {law}", value, spread, n=n)


def _exact_law(data: lab.Data, law: str) -> lab.Evidence:
    slope, ratio = _formula(data, "REINFORCE", law)
    return lab.all_of(slope.near(1.0, within=0.15), ratio.near(1.0, within=0.2))


@study.claim("REINFORCE loses it with probability exp(−(G/2η) ∫ y dx/(x(1−x))) where ηx₀ ≪ 1.", origin=LAW)
def law(data):
    return _exact_law(data, "REINFORCE")


law.null(OTHER)(lambda data: _exact_law(data, "GRPO"))


@study.claim("For GRPO, whose log odds jump downwards, too, the formula is an upper bound.", origin=LAW)
def bound(data):
    return _formula(data, "GRPO", "GRPO")[1].below(1.0)


bound.null(OTHER)(lambda data: _formula(data, "REINFORCE", "GRPO")[1].below(1.0))


def _curves(data: lab.Data, root: bool) -> lab.Evidence:
    """Distance of the curves of several G, for each algorithm and start, against η/G or η/√G."""
    p, groups, n = _lost(data).mean("seed", skipna=False), data.losses.group.values, data.losses.sizes["seed"]
    shifts = np.round(np.log2(groups.max() / groups)).astype(int) * root  # a step of η/G is √2
    size = p.sizes["ratio"] - shifts.max()
    moved = [p.isel(group=i, ratio=slice(k, k + size)).drop_vars("ratio") for i, k in enumerate(shifts)]
    p = xr.concat(moved, "group")
    height = np.sqrt((p.mean("group") ** 2).mean("ratio"))
    error = (p * (1 - p) / n + 0.25 / n**2) ** 0.5 / height
    words = f"share lost against η/{'√' * root}G: curves of several G, distance ÷ height"

    def one(**place: Any) -> lab.Estimate:
        return lab.same_curve(words, (p / height).sel(place), over="group", error=error.sel(place))

    rows = {x: lab.stacked("algorithm", {a: one(algorithm=a, start=x) for a in NAMES}) for x in STARTS}
    return lab.stacked("start", rows).below(0.1).per("algorithm", "start")


@study.claim("How often the best pattern is lost is a function of η/G, the same for every G.", origin=LAW)
def curve(data):
    return _curves(data, root=False)


curve.null("against η/√G, the scaling of one step's signal to noise")(lambda data: _curves(data, root=True))


def _back(data: lab.Data, at: str) -> lab.Evidence:
    leads = (data.long[at] > math.log(0.5)).where(data.long[at].notnull())
    lost = _among(leads, data.long.lowest < math.log(LOST))
    return lab.share("of the lost runs, those in which it leads", lost).above(0.5)


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
    p = _lost(data).astype(bool).mean("seed").transpose("algorithm", "start", "group", "ratio")
    names = {x: f"x₀ = {panels.plain(x)}" for x in STARTS}
    colors = dict(zip(STARTS, (plot.CYCLE[0], plot.CYCLE[2], plot.CYCLE[6]), strict=True))
    look = {"x": "ratio", "by": "start", "dash": "group", "names": names, "colors": colors}
    fine = xr.DataArray(np.geomspace(0.22, 4.5, 50), dims="ratio")
    formula = np.exp(-data.losses.exponent / fine.assign_coords(ratio=fine)).isel(group=[0, -1])
    apart = _curves(data, root=False).tests()[0].estimate.value.max("start")
    for name, ax in zip(NAMES, axes[:2], strict=True):
        title = f"{name}: curves of several G are apart by up to {float(apart.sel(algorithm=name)):.0%}"
        panels.frame(title, ax, x="η/G", y="share of runs lost", log="xy", ylim=(1e-3, 1.1))
        panels.dots(p.sel(algorithm=name), ax, theory=formula.sel(algorithm=name), **look)
        panels.legend(None, ax, loc="lower right", title="lines: formula,\nleast and largest G")
    late, ax, names = data.long, axes[2], {x: f"η/G = {panels.plain(x)}" for x in data.long.ratio.values}
    again = float(_among(late["last"] > math.log(0.5), late.lowest < math.log(LOST)).mean())
    title, y = f"Lost is late: it leads at the end of {again:.0%} of these runs", "share with π(r*) < ½ still"
    panels.frame(title, ax, x="time t = η · steps", y=y, log="xy", ylim=(0.02, 1.1), xlim=(20, 1e5))
    colors = panels.palette(names)
    panels.survival(late.time, ax, of="seed", by="ratio", colors=colors, names=names)
    for ratio, color in colors.items():
        power, beyond = _power(reinforce(group_size=GROUP), ratio), (late.time.sel(ratio=ratio) > LATE).mean()
        law = 1.2 * float(beyond) * (np.array([1, 25]) ** -power)
        ax.plot([LATE, 25 * LATE], law, ":", color=color)
        panels.note((25 * LATE, law[1]), ax, f"$t^{{−{power:.2f}}}$", color=color)
    panels.legend(None, ax, loc="lower left", title=f"REINFORCE, x₀ = {panels.plain(START)}")
    return figure
