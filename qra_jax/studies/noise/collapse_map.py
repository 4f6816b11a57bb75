r"""When does sampling noise make training lose the best pattern, and for how long?

Two patterns, success rates .9 and .6, no regulariser: expected training raises x = π(r*) at every step from every
start. In the log odds z of r* one rollout moves z by ±2ηA/G when it is r*, and all rollouts together by O(ηx). So with ηx ≪ 1
z is a random walk with jumps of size η/G, run on the clock ∫ x dt: the slower, the rarer r* is. Its Lundberg exponent y(x)
(`theory.lundberg_exponent`, in which η does not occur) gives the chance that x is ever below ε,

$$ P \approx \exp\Bigl[-\frac{G}{2\eta}\int_\varepsilon^{x_0}\frac{y(x)\,dx}{x(1-x)}\Bigr]
   \approx (\varepsilon/x_0)^\kappa, \qquad \kappa = \frac{y\,G}{2\eta}. $$

For REINFORCE z sinks continuously and jumps only up, and the formula has no prefactor; where jumps go down, too (GRPO), it is
an upper bound. REINFORCE's y does not depend on G, so that loss is a function of η/G; GRPO's does.

Nothing is absorbing in the tabular model: from ε expected training takes a time ~ 1/ε to come back. Since P(x < ε) ∝ ε^κ, the
time until the best pattern leads has a power-law tail, P(T > t) ∝ t^{−κ}, with infinite mean where κ < 1.

The experiments: sampled runs over (algorithm, x₀, G, η/G), each at least as long as t = 2000, with expected training of the
same cells beside, and two cells followed for long. A run counts as lost once x has been below ε = 10⁻³ at any record.
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
    share, stacked, statistic,
)  # fmt: skip
from qra_jax.training import measure

study = Study(__name__, title="Collapse map: how often noise loses a rare best pattern, and for how long")

SUCCESS, STARTS, NAMES = (0.9, 0.6), (0.01, 0.03, 0.1), ("REINFORCE", "GRPO")
GROUPS, RATIOS = scale((4, 16), (2, 4, 8, 16, 32, 64)), np.geomspace(0.25, 4.0, 9)
"""Group sizes; η/G, in steps of √2."""
LOST, RISK, SMALL, HORIZON = 1e-3, 0.05, 0.3, 2000.0
"""Share below which the best pattern is lost; share of lost runs that matters; ηx₀ taken as small; least time of a run."""
GROUP, START, LEVELS = 8, 0.03, (1e-2, 3e-3, 1e-3, 3e-4)
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
        key = jax.random.fold_in(run.key, group)
        parts.append(cells(low, key=key, seeds=run(scale(500, 1500)), axes=axes, block=256, say=run.say))
        exponents.append([[_law(each, x) for x in STARTS] for each in _members(group)])
    found = xr.concat(parts, xr.DataArray(list(run(GROUPS)), dims="group", name="group"))
    return found.assign(exponent=(("group", "algorithm", "start"), exponents))


def _law(algorithm: Algorithm, start: float, level: float = LOST) -> float:
    return theory.loss_exponent(algorithm, start, success=SUCCESS, level=level)


@study.experiment()
def expected(run: Run) -> xr.Dataset:
    """Expected training of the same cells: π(r*) at its least, as a multiple of the start, and at the end."""

    def one(cell):
        algorithm, options = cell.algorithm.with_group_size(cell.group), {"steps": 4000, "record_every": 40}
        path = _path(
            jax.random.key(0), algorithm, cell.start, cell.group * cell.ratio, mode="mean", **options
        )
        return {"least": jnp.exp(path.min()) / cell.start, "last": jnp.exp(path[-1])}

    groups = [float(group) for group in run(GROUPS)]
    axes = {"algorithm": _members(max(run(GROUPS))), "start": STARTS, "group": groups, "ratio": RATIOS}
    return cells(one, axes=axes)


@study.experiment({"ratio": (0.6, 1.2)}, seeds=scale(1500, 4000), block=256)
def long(cell, key):
    """REINFORCE for long: when π(r*) is above ½ first, how low it went, and where it was early and late."""
    every, rate = 10, GROUP * cell.ratio
    best = _path(key, reinforce(group_size=GROUP), START, rate, steps=4000, record_every=every)
    time, won, lost = jnp.arange(len(best)) * every * rate, best > jnp.log(0.5), best < jnp.log(LOST)
    first = jnp.where(jnp.any(won), time[jnp.argmax(won)], jnp.inf)
    soon = jnp.argmax(lost) + jnp.round(SOON / (every * rate)).astype(int)
    return {"time": first, "end": time[-1], "lowest": best.min(), "last": best[-1], "soon": best[soon]}


def _lost(data: Data) -> xr.DataArray:
    """Which runs are lost; NaN where that is not known."""
    return (data.losses.lowest < math.log(LOST)).where(data.losses.lowest.notnull())


def _chosen(flags: xr.DataArray, where: xr.DataArray) -> xr.DataArray:
    """Flags of the members for which something is true, in one row."""
    flags, where = xr.broadcast(flags, where)
    return xr.DataArray(flags.values[where.values], dims="member")


def _pooled(data: Data, where: xr.DataArray) -> Evidence:
    return share("share of runs lost", _chosen(_lost(data), where)).above(RISK)


@study.claim(
    "Sampled training loses a rare best pattern that expected training of the same cells raises from the start and finds.",
    origin=Derived("docs/theory.md §3"),
)
def loses(data):
    wins = exact("π(r*) at the end of expected training", data.expected["last"].min(skipna=False)).above(0.99)
    rises = exact("least π(r*) of expected training ÷ start", data.expected.least.min(skipna=False)).above(
        0.999
    )
    return all_of(wins, rises, _pooled(data, data.losses.exponent / data.losses.ratio < 1))


@loses.null("cells for which the law says less than one run in a thousand")
def _(data):
    return _pooled(data, data.losses.exponent / data.losses.ratio > math.log(1000))


def _formula(data: Data, runs: str, law: str) -> tuple[Estimate, Estimate]:
    """Slope of −log(share lost) against the law's exponent, and runs lost ÷ formula by G, where steps are small."""
    lost, n = _lost(data).sel(algorithm=runs), data.losses.sizes["seed"]
    p, said = lost.mean("seed", skipna=False), data.losses.exponent.sel(algorithm=law) / lost.ratio
    small, error = lost.start * lost.group * lost.ratio <= SMALL, np.sqrt(p * (1 - p) / n)
    some = small & ~(p * n < 10) & ~(p > 0.9)
    fit = line(
        f"−log(share lost), {runs}, against the exponent of {law}: slope",
        -np.log(p),
        said,
        error / p,
        use=some,
    )
    total, both = np.exp(-said).where(small).sum(["start", "ratio"]), ["start", "ratio"]
    value = p.where(small, 0.0).sum(both, skipna=False) / total
    spread = np.sqrt((error**2).where(small, 0.0).sum(both, skipna=False)) / total
    return fit, measured(f"runs of {runs} lost ÷ formula of {law}", value, spread, n=n)


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
    p, groups = _lost(data).mean("seed", skipna=False), data.losses.group.values
    shifts = np.round(np.log2(groups.max() / groups)).astype(int) * root  # a step of η/G is √2
    size = p.sizes["ratio"] - shifts.max()
    moved = [p.isel(group=i, ratio=slice(k, k + size)).drop_vars("ratio") for i, k in enumerate(shifts)]
    p, n = xr.concat(moved, "group"), data.losses.sizes["seed"]
    height = np.sqrt((p.mean("group") ** 2).mean("ratio"))
    p, error = p / height, np.sqrt(p * (1 - p) / n + 0.25 / n**2) / height
    words = f"share lost against η/{'√' * root}G: curves of several G, distance ÷ height"

    def one(**place: Any) -> Estimate:
        return same_curve(words, p.sel(place), over="group", error=error.sel(place))

    rows = {name: stacked("start", {x: one(algorithm=name, start=x) for x in STARTS}) for name in NAMES}
    return stacked("algorithm", rows).below(0.1).per("algorithm", "start")


@study.claim("How often the best pattern is lost is a function of η/G, the same for every G.", origin=LAW)
def curve(data):
    return _curves(data, root=False)


curve.null("against η/√G, the scaling of one step's signal to noise")(lambda data: _curves(data, root=True))


def _threshold(data: Data, algorithm: Algorithm) -> Evidence:
    x = xr.DataArray(np.log(LEVELS) - np.mean(np.log(LEVELS)), dims="level")

    def power(lowest: xr.DataArray) -> xr.DataArray:
        shares = xr.concat([(lowest < math.log(level)).mean("seed") for level in LEVELS], "level")
        return (x * np.log(shares).where(lowest.notnull().all())).sum("level", skipna=False) / (x**2).sum()

    said = xr.DataArray([_law(algorithm, START, level) for level in LEVELS], dims="level") / data.long.ratio
    estimate = statistic("power of ε in the share of runs ever below ε", power, data.long.lowest)
    return estimate.near(-(x * said).sum("level") / (x**2).sum(), within=0.25, relative=True)


@study.claim("What share of runs is ever below ε depends on ε, as the law says: nearly like ε^κ.", origin=LAW)
def threshold(data):
    return _threshold(data, reinforce(group_size=GROUP))


threshold.null(OTHER)(lambda data: _threshold(data, grpo(GROUP)))


def _back(data: Data, at: str) -> Evidence:
    leads = (data.long[at] > math.log(0.5)).where(data.long[at].notnull())
    lost = data.long.lowest < math.log(LOST)
    return share("of the lost runs, those in which it leads", _chosen(leads, lost)).above(0.5)


@study.claim(
    "A best pattern that noise has lost is not lost for good: in most such runs it leads in the end.",
    origin=LAW,
)
def back(data):
    return _back(data, "last")


back.null("the same runs soon after the loss, before expected training comes back")(
    lambda data: _back(data, "soon")
)


def _tails(data: Data, algorithm: Algorithm) -> Evidence:
    """Exponent of P(T > t) by maximum likelihood, with censoring at the end of the runs."""
    time, end = data.long.time, data.long.end.mean("seed")
    late, known = time > LATE, (time > LATE) & (time < end)
    waited = np.log(np.minimum(time, end) / LATE).where(late | time.isnull(), 0.0).sum("seed", skipna=False)
    found, count = known.sum("seed") / waited, known.sum("seed")
    y = float(theory.lundberg_exponent(algorithm, 1e-6, success=SUCCESS))
    estimate = measured("exponent of the tail", found, found / np.sqrt(count), n=time.sizes["seed"])
    return estimate.near(y / 2 / data.long.ratio, within=0.25, relative=True)


@study.claim(
    "The time until the best pattern leads has a tail t^{−yG/2η}: without a mean for η/G > y/2.", origin=LAW
)
def tail(data):
    return _tails(data, reinforce(group_size=GROUP))


tail.null(OTHER)(lambda data: _tails(data, grpo(GROUP)))


@study.figure
def draw(data: Data) -> Figure:
    """Where 5 % are lost; the share that is lost against η/G, and against what counts as lost; waiting times."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.6), nrows=2, ncols=2)
    losses, flags, ratios = data.losses, _lost(data).astype(bool), data.losses.ratio.values
    p, n, groups = flags.mean("seed"), losses.sizes["seed"], losses.group.values
    at = np.exp(
        xr.apply_ufunc(
            lambda y: np.interp(
                math.log(RISK), np.log(np.maximum(y, 0.1 / n)), np.log(ratios), np.nan, np.nan
            ),
            p,
            input_core_dims=[["ratio"]],
            vectorize=True,
        )
    )
    shades = dict(zip(STARTS, (plot.CYCLE[0], plot.CYCLE[2], plot.CYCLE[6]), strict=True))
    spread = {
        name: float((at.sel(algorithm=name).max("group") / at.sel(algorithm=name).min("group")).max())
        for name in NAMES
    }
    title = f"{RISK:.0%} are lost at one η/G within {spread['REINFORCE']:.1f} × (REINFORCE), {spread['GRPO']:.1f} × (GRPO)"
    panels.frame(
        title,
        first,
        x="rollouts in a group G",
        y=f"learning rate η at which {RISK:.0%} are lost",
        log="xy",
        xticks=groups,
    )
    safe = losses.exponent / -math.log(RISK) * losses.group
    for name, dash in zip(NAMES, ("-", "--"), strict=True):
        panels.curves(
            safe.sel(algorithm=name),
            first,
            x="group",
            by="start",
            colors=shades,
            label=False,
            style={"linestyle": dash, "linewidth": 1},
        )
    panels.dots(
        (at * losses.group).transpose("start", "algorithm", "group"),
        first,
        x="group",
        by="start",
        dash="algorithm",
        colors=shades,
        names={x: f"x₀ = {panels.plain(x)}" for x in STARTS},
    )
    panels.legend(None, first, title="lines: formula")

    panels.frame(
        f"The law meets REINFORCE and bounds GRPO, from x₀ = {panels.plain(START)}",
        second,
        x="η/G",
        y="share of runs lost",
        log="xy",
        xlim=(0.22, 4.5),
        ylim=(1e-3, 1.1),
    )
    for name in NAMES:
        colors = panels.palette(groups, base=plot.color(name))
        fine = np.geomspace(0.22, 4.5, 50)
        bound = xr.DataArray(
            np.exp(-losses.exponent.sel(algorithm=name, start=START).values[:, None] / fine),
            {"group": groups, "ratio": fine},
            ("group", "ratio"),
        )
        shown = flags.sel(algorithm=name, start=START).where(losses.ratio * losses.group * START <= SMALL)
        panels.dots(
            share("", shown, "seed"),
            second,
            x="ratio",
            by="group",
            colors=colors,
            theory=bound,
            names={g: f"{name}, G = {g}" for g in groups},
            within=(1e-4, 1),
        )
    panels.legend(None, second, loc="lower right")

    lowest, levels = data.long.lowest, np.geomspace(LEVELS[-1], LEVELS[0], 20)
    below = xr.concat(
        [lowest < math.log(level) for level in LEVELS], xr.DataArray(list(LEVELS), dims="level", name="level")
    )
    line = np.exp(
        -xr.DataArray(
            [_law(reinforce(group_size=GROUP), START, x) for x in levels], {"level": levels}, "level"
        )
        / lowest.ratio
    )
    look = {
        "by": "ratio",
        "colors": dict(zip(lowest.ratio.values, (plot.CYCLE[0], plot.CYCLE[4]), strict=True)),
        "names": {x: f"η/G = {panels.plain(x)}" for x in lowest.ratio.values},
    }
    panels.frame(
        "How many are lost depends on what counts as lost",
        third,
        x="ε",
        y="share of runs ever below ε",
        log="xy",
    )
    panels.dots(below, third, x="level", over="seed", theory=line, **look)
    panels.legend(None, third, title=f"REINFORCE, G = {GROUP} (lines: law)")

    again = float(_chosen(data.long["last"] > math.log(0.5), lowest < math.log(LOST)).mean())
    panels.frame(
        f"Lost is late: it leads again in {again:.0%} of the lost runs",
        fourth,
        x="time t = η · steps",
        y="share of runs with π(r*) < ½ still",
        log="xy",
        ylim=(0.02, 1.1),
        xlim=(20, 2e4),
    )
    panels.survival(data.long.time, fourth, of="seed", until=float(data.long.end.max()), **look)
    y = float(theory.lundberg_exponent(reinforce(group_size=GROUP), 1e-6, success=SUCCESS))
    for ratio, color in look["colors"].items():
        time, waits = np.geomspace(LATE, 1.5e4, 2), np.sort(data.long.time.sel(ratio=ratio).values)
        height = 1.15 * (waits > LATE).mean()
        fourth.plot(time, height * (time / LATE) ** (-y / 2 / ratio), ":", color=color)
        panels.note(
            (time[1], height * (time[1] / LATE) ** (-y / 2 / ratio)),
            fourth,
            f"$t^{{−{y / 2 / ratio:.2f}}}$",
            shift=(-4, 6),
            color=color,
        )
    panels.legend(None, fourth, loc="lower left")
    return figure
