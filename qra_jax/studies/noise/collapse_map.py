r"""When does sampling noise make training lose the best pattern, and for how long?

Two patterns, success rates .9 and .6, no regulariser: expected training raises x = π(r*) at every step from every start.
In the log odds z of r* one rollout moves z by ±2ηA/G when it is r*, and all rollouts together by O(ηx). So with ηx ≪ 1
z is a random walk with jumps of size η/G, run on the clock ∫ x dt: the slower, the rarer r* is. Its Lundberg exponent
y(x) (`theory.lundberg_exponent`, in which η does not occur) gives the chance that x is ever below ε,

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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import Algorithm, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.studies.lab import (
    Data, Derived, Estimate, Evidence, Run, Study, all_of, cells, exact, line, measured, panels, same_curve, scale,
    share, stacked,
)  # fmt: skip
from qra_jax.training import measure

study = Study(__name__, title="Collapse map: how often noise loses a rare best pattern, and for how long")

SUCCESS, STARTS, NAMES = (0.9, 0.6), (0.01, 0.03, 0.1), ("REINFORCE", "GRPO")
GROUPS, RATIOS = scale((2, 16), (2, 4, 8, 16, 32, 64)), np.geomspace(0.25, 4.0, 9)
"""Group sizes; η/G, in steps of √2."""
LOST, RISK, SMALL, HORIZON = 1e-3, 0.05, 0.3, 2000.0
"""What counts as lost; share of lost runs that matters; ηx₀ that is still small; time of the shortest run."""
GROUP, START = 8, 0.03
SOON, LATE = 500.0, 10 / (2 * START * (SUCCESS[0] - SUCCESS[1]))
"""A time too short for expected training to return from LOST; ten times what it takes from START."""
LAW, OTHER = Derived("theory.loss_exponent"), "REINFORCE's runs against the exponent of GRPO"


def _members(group: int) -> list[Algorithm]:
    both = (reinforce(group_size=group), grpo(group))
    return [replace(algorithm, name=name) for algorithm, name in zip(both, NAMES, strict=True)]


def _path(key: jax.Array, algorithm: Algorithm, start: Any, rate: Any, **options: Any) -> jax.Array:
    """log π(r*) at each record."""
    start, rate = jnp.float32(start), jnp.float32(rate)
    problem = Problem(jnp.log(jnp.stack([start, 1 - start])), jnp.asarray(SUCCESS, jnp.float32))
    best = {"best": lambda log_policy, _: log_policy[0]}
    return measure(best, key, problem, algorithm=algorithm, learning_rate=rate, **options).values["best"]


@study.experiment()
def losses(run: Run) -> xr.Dataset:
    """How low π(r*) went in sampled runs, and the exponent of the law; for each group size a program."""
    parts, exponents = [], []
    for group in run(GROUPS):
        every = max(1, round(HORIZON / (RATIOS[0] * group) / 400))
        options = {"steps": every * math.ceil(HORIZON / (RATIOS[0] * group) / every), "record_every": every}

        def low(cell, key, group=group, options=options):
            return {"lowest": _path(key, cell.algorithm, cell.start, group * cell.ratio, **options).min()}

        axes = {"algorithm": _members(group), "start": STARTS, "ratio": RATIOS}
        key, seeds = jax.random.fold_in(run.key, group), run(scale(500, 1500))
        parts.append(cells(low, key=key, seeds=seeds, axes=axes, block=256))
        law = {"success": SUCCESS, "level": LOST}
        exponents.append([[theory.loss_exponent(each, x, **law) for x in STARTS] for each in _members(group)])
    found = xr.concat(parts, xr.DataArray(list(run(GROUPS)), dims="group", name="group"))
    return found.assign(exponent=(("group", "algorithm", "start"), exponents))


@study.experiment()
def expected(run: Run) -> xr.Dataset:
    """Expected training of the same cells: π(r*) at its least, as a multiple of the start, and at the end."""

    def one(cell):
        options = {"mode": "mean", "steps": 4000, "record_every": 40}
        algorithm, rate = cell.algorithm.with_group_size(cell.group), cell.group * cell.ratio
        path = _path(jax.random.key(0), algorithm, cell.start, rate, **options)
        return {"least": jnp.exp(path.min()) / cell.start, "last": jnp.exp(path[-1])}

    groups = [float(group) for group in run(GROUPS)]
    axes = {"algorithm": _members(max(run(GROUPS))), "start": STARTS, "group": groups, "ratio": RATIOS}
    return cells(one, axes=axes)


@study.experiment({"ratio": (0.6, 1.2)}, seeds=scale(1500, 4000), block=256)
def long(cell, key):
    """REINFORCE for long: when π(r*) is above ½ first, how low it went, where it was soon after a loss and at the end."""
    every, rate = 4, GROUP * cell.ratio
    best = _path(key, reinforce(group_size=GROUP), START, rate, steps=4000, record_every=every)
    time, won, lost = jnp.arange(len(best)) * every * rate, best > jnp.log(0.5), best < jnp.log(LOST)
    first = jnp.where(jnp.any(won), time[jnp.argmax(won)], jnp.inf)
    soon = jnp.argmax(lost) + jnp.round(SOON / (every * rate)).astype(int)
    return {"time": first, "end": time[-1], "lowest": best.min(), "last": best[-1], "soon": best[soon]}


def _lost(data: Data) -> xr.DataArray:
    """Which runs are lost; NaN where that is not known."""
    return (data.losses.lowest < math.log(LOST)).where(data.losses.lowest.notnull())


def _among(flags: xr.DataArray, where: xr.DataArray) -> xr.DataArray:
    flags, where = xr.broadcast(flags, where)
    return xr.DataArray(flags.values[where.values], dims="member")


def _pooled(data: Data, where: xr.DataArray) -> Evidence:
    return share("share of runs lost", _among(_lost(data), where)).above(RISK)


@study.claim(
    "Sampled training loses a rare best pattern that expected training of the same cells raises and finds.",
    origin=Derived("docs/theory.md §3"),
)
def loses(data):
    wins = exact("π(r*) at the end of expected training", data.expected["last"].min(skipna=False)).above(0.99)
    least = exact("least π(r*) of expected training ÷ start", data.expected.least.min(skipna=False))
    return all_of(wins, least.above(0.999), _pooled(data, data.losses.exponent / data.losses.ratio < 1))


@loses.null("cells for which the law says less than one run in a thousand")
def _(data):
    return _pooled(data, data.losses.exponent / data.losses.ratio > math.log(1000))


def _formula(data: Data, runs: str, law: str) -> tuple[Estimate, Estimate]:
    """Slope of −log(share lost) against the law's exponent; runs lost ÷ formula, by G. Where steps are small."""
    lost, n, both = _lost(data).sel(algorithm=runs), data.losses.sizes["seed"], ["start", "ratio"]
    p, said = lost.mean("seed", skipna=False), data.losses.exponent.sel(algorithm=law) / lost.ratio
    small, error = lost.start * lost.group * lost.ratio <= SMALL, np.sqrt(p * (1 - p) / n)
    some, inside = small & ~(p * n < 10) & ~(p > 0.9), p.where(p > 0, 1 / n)
    words = f"−log(share lost), {runs}, against the exponent of {law}: slope"
    slope = line(words, -np.log(inside), said, error / inside, use=some)
    total = np.exp(-said).where(small).sum(both)
    value = p.where(small, 0.0).sum(both, skipna=False) / total
    spread = np.sqrt((error**2).where(small, 0.0).sum(both, skipna=False)) / total
    return slope, measured(f"runs of {runs} lost ÷ formula of {law}", value, spread, n=n)


def _exact_law(data: Data, law: str) -> Evidence:
    slope, ratio = _formula(data, "REINFORCE", law)
    return all_of(slope.near(1.0, within=0.15), ratio.near(1.0, within=0.2))


@study.claim(
    "REINFORCE loses it with probability exp(−(G/2η) ∫ y dx/(x(1−x))), where ηx₀ is small.", origin=LAW
)
def law(data):
    return _exact_law(data, "REINFORCE")


law.null(OTHER)(lambda data: _exact_law(data, "GRPO"))


@study.claim(
    "For GRPO, whose log odds jump downwards, too, the formula is an upper bound (Lundberg).", origin=LAW
)
def bound(data):
    return _formula(data, "GRPO", "GRPO")[1].below(1.0)


bound.null(OTHER)(lambda data: _formula(data, "REINFORCE", "GRPO")[1].below(1.0))


def _curves(data: Data, root: bool) -> Evidence:
    """Distance of the curves of several G, for each algorithm and start, against η/G or η/√G."""
    p, groups, n = _lost(data).mean("seed", skipna=False), data.losses.group.values, data.losses.sizes["seed"]
    shifts = np.round(np.log2(groups.max() / groups)).astype(int) * root  # a step of η/G is √2
    size = p.sizes["ratio"] - shifts.max()
    moved = [p.isel(group=i, ratio=slice(k, k + size)).drop_vars("ratio") for i, k in enumerate(shifts)]
    p = xr.concat(moved, "group")
    height = np.sqrt((p.mean("group") ** 2).mean("ratio"))
    error = np.sqrt(p * (1 - p) / n + 0.25 / n**2) / height
    words = f"share lost against η/{'√' * root}G: curves of several G, distance ÷ height"

    def one(**place: Any) -> Estimate:
        return same_curve(words, (p / height).sel(place), over="group", error=error.sel(place))

    rows = {name: stacked("start", {x: one(algorithm=name, start=x) for x in STARTS}) for name in NAMES}
    return stacked("algorithm", rows).below(0.1).per("algorithm", "start")


@study.claim("How often the best pattern is lost is a function of η/G, the same for every G.", origin=LAW)
def curve(data):
    return _curves(data, root=False)


curve.null("against η/√G, the scaling of one step's signal to noise")(lambda data: _curves(data, root=True))


def _back(data: Data, at: str) -> Evidence:
    leads = (data.long[at] > math.log(0.5)).where(data.long[at].notnull())
    leading = _among(leads, data.long.lowest < math.log(LOST))
    return share("of the lost runs, those in which it leads", leading).above(0.5)


@study.claim(
    "A best pattern that noise has lost is not lost for good: in most of these runs it leads later.",
    origin=LAW,
)
def back(data):
    return _back(data, "last")


back.null("the same runs soon after the loss")(lambda data: _back(data, "soon"))


def _tails(data: Data, algorithm: Algorithm) -> Evidence:
    """Exponent of P(T > t) by maximum likelihood, with censoring at the end of the runs."""
    time, end = data.long.time, data.long.end.mean("seed")
    known = ((time > LATE) & (time < end)).sum("seed")
    waited = np.log(np.minimum(time, end) / LATE).where((time > LATE) | time.isnull(), 0.0)
    found = known / waited.sum("seed", skipna=False)
    y = float(theory.lundberg_exponent(algorithm, 1e-6, success=SUCCESS))
    estimate = measured("exponent of the tail", found, found / np.sqrt(known), n=time.sizes["seed"])
    return estimate.near(y / 2 / data.long.ratio, within=0.25, relative=True)


@study.claim(
    "The time until the best pattern leads has a tail t^{−yG/2η}: no mean for η/G > y/2.", origin=LAW
)
def tail(data):
    return _tails(data, reinforce(group_size=GROUP))


tail.null(OTHER)(lambda data: _tails(data, grpo(GROUP)))


@study.figure
def draw(data: Data) -> Figure:
    """The step at which 5 % are lost; the share lost against η/G; waiting times."""
    figure, (first, second, third) = plot.new((10.2, 3.6), ncols=3)
    lost, groups, grid = _lost(data).astype(bool), data.losses.group.values, data.losses.ratio.values
    p, exponent, x0 = lost.mean("seed"), data.losses.exponent, f"x₀ = {panels.plain(START)}"

    def critical(row: np.ndarray) -> float:
        steps = np.arange(len(row)) * 1e-9  # rising, also where none is lost
        return float(
            np.exp(np.interp(RISK, np.maximum.accumulate(row) + steps, np.log(grid), np.nan, np.nan))
        )

    edge = xr.apply_ufunc(critical, p, input_core_dims=[["ratio"]], vectorize=True)
    widest = (edge.max("group") / edge.min("group")).max("start").values
    title = "η/G at which 5 % are lost: within a factor {:.1f} (REINFORCE), {:.1f} (GRPO)".format(*widest)
    panels.frame(
        title, first, x="rollouts in a group G", y="η at which 5 % are lost", log="xy", xticks=groups
    )
    look = {"by": "start", "colors": dict(zip(STARTS, plot.CYCLE[::2], strict=False)), "x": "group"}
    for name, style in zip(NAMES, ("-", ":"), strict=True):
        safe = (exponent * exponent.group / -math.log(RISK)).sel(algorithm=name)
        panels.curves(safe, first, label=False, style={"linewidth": 1, "linestyle": style}, **look)
    names = {x: f"x₀ = {panels.plain(x)}" for x in STARTS}
    panels.dots(
        (edge * edge.group).transpose("start", "algorithm", "group"),
        first,
        dash="algorithm",
        names=names,
        **look,
    )
    panels.legend(None, first, title="lines: formula")

    title, y = f"The formula meets REINFORCE and bounds GRPO ({x0})", "share of runs lost"
    panels.frame(title, second, x="η/G", y=y, log="xy", xlim=(0.2, 5), ylim=(1e-3, 1.1))
    for name in NAMES:
        colors = panels.palette(groups, base=plot.color(name))
        fine = xr.DataArray(np.geomspace(0.22, 4.5, 50), dims="ratio")
        law = np.exp(-exponent.sel(algorithm=name, start=START) / fine).assign_coords(ratio=fine)
        shown = p.sel(algorithm=name, start=START).where(grid * p.group * START <= SMALL)
        names = {group: f"{name}, G = {group}" for group in groups}
        panels.dots(shown, second, x="ratio", by="group", colors=colors, theory=law, names=names)
    panels.legend(None, second, loc="lower right")

    late, times = data.long, np.geomspace(LATE, 1.5e4, 2)
    again = float(_among(late["last"] > math.log(0.5), late.lowest < math.log(LOST)).mean())
    title, x = f"Lost is late: it leads at the end of {again:.0%} of the lost runs", "time t = η · steps"
    panels.frame(
        title, third, x=x, y="share of runs with π(r*) < ½ still", log="xy", ylim=(0.02, 1.1), xlim=(20, 4e4)
    )
    colors = dict(zip(late.ratio.values, (plot.CYCLE[0], plot.CYCLE[4]), strict=True))
    names = {ratio: f"η/G = {panels.plain(ratio)}" for ratio in colors}
    panels.survival(late.time, third, of="seed", until=2e4, by="ratio", colors=colors, names=names)
    y = float(theory.lundberg_exponent(reinforce(group_size=GROUP), 1e-6, success=SUCCESS))
    for ratio, color in colors.items():
        power = y / 2 / ratio
        law = 1.2 * float((late.time.sel(ratio=ratio) > LATE).mean()) * (times / LATE) ** -power
        third.plot(times, law, ":", color=color)
        panels.note((times[1], law[1]), third, f"$t^{{−{power:.2f}}}$", color=color)
    panels.legend(None, third, loc="lower left", title=f"REINFORCE, {x0}")
    return figure
