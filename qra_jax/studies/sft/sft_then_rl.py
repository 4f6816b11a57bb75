r"""How long should supervised fine-tuning (SFT) last before reinforcement learning, and on how good data?

SFT on good data is said to mitigate the stall of RL; study sft-first asks how good for endless SFT. Here SFT ends when
it should: the cost is T_sft + c T_rl to π(r*) = .99, where a unit of RL time costs c units of SFT time.

Predictions, *derived here*. With $g_r=\partial\log T_{\rm rl}/\partial\theta_r$ along the SFT path

1. SFT pays at an instant iff $c\,T_{\rm rl}\;g\cdot(\mu-\pi) < -1$; at the start, with a share x of demonstrations of
   r* among the model's own choices, iff $x > x_1 = 1/\{c\,T_{\rm rl}\,(g\cdot\pi_{\rm ref}-g_{r^\star})\}$.
2. Length: while r* is rare the other patterns sit still and SFT raises its logit at rate x against −x/(n−1) for each of
   them, so T_sft grows by (1 − 1/n)/x for each unit of log γ, whatever the clock and the price; RL alone needs γ^{n−1}.
3. Endless SFT is not better than enough even where SFT is free, unless its data are poor.

Experiment: the worked example at all shares, prices and lengths; stalls of 3 and 5 patterns up to γ = 10¹³; random
problems (Dirichlet(1) base policies, uniform success rates) with shares around x₁ and all mixtures; three clocks.
"""

from itertools import product

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.problem import examples
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _curves

study = lab.Study(__name__, title="SFT, then RL: when to stop, and how good the data must be")

WIDTH, CLOCKS, PRICES = 5, ("REINFORCE", "GRPO G = 8", "GRPO"), [1.0, 100.0]
TIMES, LONG = np.append(0.0, np.geomspace(0.01, 300, 120)), np.linspace(0, 180, 145)
"""Lengths of SFT; and where they grow with γ."""
GAMMAS = lab.scale(np.geomspace(10, 1e13, 5), np.geomspace(10, 1e13, 13))
OWN, BELOW, ABOVE, PAYS = 0.0, [0.5, 0.8, 0.95, 0.99], [1.05, 1.25, 2.0, 4.0], 1e-9
"""Shares of demonstrations in units of x₁; a saving of cost, above rounding."""
GREENS = ("#A1D99B", "#41AB5D", "#00441B")


@study.experiment()
def worked(run: lab.Run) -> xr.Dataset:
    """The worked example: RL time after SFT for all shares, clocks and lengths, and the best length for all prices."""
    shares, prices = np.linspace(0.1, 0.9, run(lab.scale(9, 25))).round(3), np.geomspace(0.01, 1e4, 25)
    parts = [_curves.problems_and_data([examples.worked()], share, WIDTH) for share in shares]
    log_rl = _curves.log_rl_times(*map(np.concatenate, zip(*parts, strict=True)), times=TIMES, clocks=CLOCKS)
    best, _ = theory.best_split(TIMES, log_rl[:, :, None], prices)
    variables = {
        "rl": (("clock", "share", "time"), np.exp(log_rl)),
        "best": (("clock", "share", "price"), best),
    }
    return lab.dataset(variables, {"clock": list(CLOCKS), "share": shares, "time": TIMES, "price": prices})


@study.experiment()
def growth(run: lab.Run) -> xr.Dataset:
    """Best lengths and their cost against γ, for 3 and 5 patterns, three shares, three clocks, two prices."""
    gammas, shares, sizes, cells = run(GAMMAS), [0.2, 0.5, 0.9], [3, 5], []
    for n in sizes:
        problems = [examples.entangled(gamma, n) for gamma in gammas]
        rows = [_curves.problems_and_data(problems, share, WIDTH) for share in shares]
        cells += [_curves.log_rl_times(*row, times=LONG, clocks=CLOCKS) for row in rows]
    log_rl = np.reshape(cells, (len(sizes), len(shares), len(CLOCKS), len(gammas), len(LONG)))
    best, cost = theory.best_split(LONG, log_rl[..., None, :], np.array(PRICES))
    dims = ("patterns", "share", "clock", "gamma")
    variables = {"length": ((*dims, "price"), best), "log_cost": ((*dims, "price"), np.log(cost))}
    variables |= {"log_alone": (("patterns", "clock", "gamma"), log_rl[:, 0, ..., 0])}
    coords = {"patterns": sizes, "share": shares, "clock": list(CLOCKS), "gamma": gammas, "price": PRICES}
    return lab.dataset(variables, coords)


@study.experiment()
def quality(run: lab.Run) -> xr.Dataset:
    """Random problems: the least share x₁ that pays at once at price 1, x₀ of the fast regime, and gains around x₁."""
    drawn = [_curves.random_problems(run.seed, run(lab.scale(36, 400)), n, WIDTH) for n in (3, 5)]
    log_ref, success = (np.concatenate(x) for x in zip(*drawn, strict=True))
    _, least = _curves.least_shares(log_ref, success)
    ratios = [OWN, *BELOW, *ABOVE]
    wide = [np.repeat(x, len(ratios), axis=0) for x in (log_ref, success)]
    data = _curves.demonstrations(*wide, share=np.minimum(np.outer(least, ratios), 1.0).ravel())
    total = TIMES + np.exp(_curves.log_rl_times(*wide, mixture=data, times=TIMES))
    gain = 1 - (total[:, 1:].min(axis=-1) / total[:, 0]).reshape(len(least), -1)
    variables = {"least": ("problem", least), "needed": ("problem", _curves.masses_needed(log_ref, success))}
    return lab.dataset(variables | {"gain": (("problem", "ratio"), gain)}, {"ratio": ratios})


@study.experiment()
def mixtures(run: lab.Run) -> xr.Dataset:
    """Least cost of random problems with three patterns, over all lengths, for each mixture of the patterns."""
    count, parts = run(lab.scale(32, 800)), run(lab.scale(3, 5))
    grid = np.array([(i, j, parts - i - j) for i in range(parts + 1) for j in range(parts + 1 - i)]) / parts
    log_ref, success = _curves.random_problems(run.seed, count, 3, WIDTH)
    order = np.argsort(-success[:, :3], axis=-1)  # shares are of the best, the second and the worst pattern
    mu = np.zeros((count, len(grid), WIDTH))
    np.put_along_axis(mu, np.broadcast_to(order[:, None], (count, len(grid), 3)), grid[None], axis=-1)
    wide, data = [np.repeat(x, len(grid), axis=0) for x in (log_ref, success)], mu.reshape(-1, WIDTH)
    log_rl = _curves.log_rl_times(*wide, mixture=data, times=TIMES[::4])
    cost = theory.best_split(TIMES[::4], log_rl)[1].reshape(count, len(grid))
    return lab.dataset({"cost": (("problem", "mixture"), cost), "shares": (("mixture", "rank"), grid)})


def _longest(data: lab.Data, price: float = np.inf) -> lab.Evidence:
    rl = data.worked.rl.sel(clock=CLOCKS[0])
    cost = rl if np.isinf(price) else rl * price + rl.time
    ratio = cost.isel(time=-1) / cost.min("time", skipna=False)
    return lab.exact("cost after the longest SFT, the least taken as 1", ratio).below(1 + 1e-4).per("share")


@study.claim(
    "In the worked example, where SFT is free, the longer it is the better, up to 300 units.",
    origin=lab.Asked("If good data remove the slow regime, more of them should do no harm.", (papers.QRA_5,)),
)
def free(data):
    return _longest(data)


free.null("SFT at the price of RL")(lambda data: _longest(data, 1.0))


def _pays(data: lab.Data, ratios: list[float]) -> lab.Evidence:
    some = data.quality.sel(ratio=ratios)
    entangled, tried = (some.needed > 0).broadcast_like(some.gain), some.ratio.broadcast_like(some.gain)
    rules = {"the start is fast": ~entangled, "the start is entangled": entangled}
    rules |= {f"the share is at most {r:g} x₁": tried <= r for r in ratios[:-1]}
    flags = lab.where_known(some.gain <= PAYS, some.gain, some.needed)
    return lab.explained("no length of SFT pays", flags, rules, n=some.sizes["problem"])


@study.claim(
    "With a share of demonstrations below x₁ = 1/{c T_rl (g·π_ref − g_r*)}, from half of it on, no length of SFT pays.",
    origin=lab.Asked("Derived for the first instant; does it hold for any length?"),
)
def below(data):
    return _pays(data, BELOW)


below.null("shares above x₁")(lambda data: _pays(data, ABOVE))
below.positive("the model's own choices, x = 0")(lambda data: _pays(data, [OWN]))


@study.claim(
    "In most entangled problems data must reach the threshold x₀ of the fast regime to be worth their SFT at price 1.",
    origin=lab.Asked(
        "Good data are those that end the slow regime; are others worth nothing?", (papers.QRA_5,)
    ),
    needs_no_control="both thresholds are computed for each problem; a sampled one would have an error",
)
def regime(data):
    some = data.quality.where(data.quality.needed.isnull() | (data.quality.needed > 0), drop=True)
    flags = lab.where_known(some.least >= some.needed, some.least, some.needed)
    return lab.share("entangled problems with x₁ ≥ x₀ at price 1", flags, "problem").above(0.5)


@study.claim(
    "Of all mixtures of three patterns, on a grid, pure demonstrations of r* cost least.",
    origin=lab.Asked("Are the best data pure?", (papers.QRA_5,)),
    needs_no_control="costs of all mixtures are computed and compared; a sampled one would have an error",
)
def pure(data):
    cost, share = data.mixtures.cost, data.mixtures.shares.isel(rank=0)
    alone, least = cost.isel(mixture=int(np.argmax(share.values))), cost.min("mixture", skipna=False)
    flags = lab.where_known(alone <= least * (1 + PAYS), alone, least, share.max(skipna=False))
    return lab.explained("its pure demonstrations cost least", flags, {})


def _law(data: lab.Data, factor: float = 1.0) -> lab.Evidence:
    large = data.growth.isel(gamma=data.growth.gamma.values > 1e6)
    slope = lab.slope("d T_sft / d log γ for γ > 10⁶", large.length, np.log(large.gamma), along="gamma")
    return slope.near((1 - factor / large.patterns) / large.share, within=0.1, relative=True)


@study.claim(
    "For γ from 10⁶ to 10¹³ the best SFT length grows by (1 − 1/n)/x for each unit of log γ, to a tenth, whatever the "
    "clock and the price (n = 3 and 5, prices 1 and 100).",
    origin=lab.Derived("while r* is rare the other patterns sit still"),
)
def length(data):
    return _law(data)


length.null("1/x, as if the others did not give way")(lambda data: _law(data, 0.0))


def _exponent(log_cost: xr.DataArray) -> lab.Evidence:
    ends = log_cost.isel(gamma=[0, -1])
    exponent = ends.diff("gamma") / np.diff(np.log(ends.gamma))
    return lab.exact("largest exponent of the cost in γ", exponent.max(skipna=False)).below(0.1)


@study.claim(
    "SFT at its best length removes the stall for each clock and price: cost grows slower than γ^.1 up to γ = 10¹³.",
    origin=lab.Asked("Good data are said to mitigate the stall; do they remove it?", (papers.QRA_5,)),
)
def stall(data):
    return _exponent(data.growth.log_cost)


stall.null("RL alone")(lambda data: _exponent(data.growth.log_alone))


@study.figure
def draw(data: lab.Data) -> Figure:
    """The stopping rule, lengths against price and against γ, and the least share that pays."""
    figure, ((rule, price), (long, least)) = plot.new((9.2, 6.4), nrows=2, ncols=2)
    one = data.worked.isel(clock=0)
    half = one.sel(share=0.5, method="nearest")
    labels = {"x": f"SFT time   (share of demonstrations {float(half.share):g})", "y": "RL cost saved a unit"}
    limits = {"xlim": (0.3, 40), "ylim": (0.1, 3e4)}
    panels.frame("Stop when a unit saves less than 1", rule, **labels, log="xy", **limits)
    saved = -np.gradient(half.rl.values, TIMES)
    for c, color in zip((1.0, 10.0, 100.0), GREENS, strict=True):
        rule.plot(TIMES[1:], c * saved[1:], color=color, label=f"RL costs {c:g} ×")
        best = float(half.best.sel(price=c, method="nearest"))
        panels.note((best, 1.0), rule, "", color=color, dot=True)
    panels.mark(1.0, rule, axis="y", color="black")
    panels.legend(None, rule, loc="upper right")
    some = one.best.sel(share=[0.1, 0.3, 0.5, 0.9], method="nearest")
    ended = one.share.values[one.rl.isel(time=-1) > (1 + 1e-4) * one.rl.min("time")]
    title = f"Even free SFT has an end for x ≥ {min(ended):.2f}" if ended.size else "Free SFT has no end"
    panels.frame(title, price, x="price c of RL time", y="best SFT time", log="x", xlim=(0.01, 1e4))
    colors = dict(zip(some.share.values.tolist(), (plot.RIVAL, *GREENS), strict=True))
    names = {x: f"x = {x:.2f}" for x in colors}
    panels.curves(some, price, x="price", by="share", colors=colors, names=names)
    panels.legend(None, price, title="share of demonstrations", loc="upper left")
    lengths = data.growth.length.isel(clock=0, price=0)
    labels = {"x": "entanglement γ   (RL alone: γⁿ⁻¹)", "y": "best SFT time"}
    panels.frame("Law (lines): (1 − 1/n)/x · log γ", long, **labels, log="x")
    arms = zip(lengths.share.values, GREENS, strict=True)
    for (x, color), (n, mark) in product(arms, ((3, "o"), (5, "s"))):
        line = lengths.sel(share=x, patterns=n)
        long.plot(line.gamma, line, mark, color=color, markersize=4, label=f"x = {x:g}" if n == 3 else None)
        law = line.values[-1] + (1 - 1 / n) / x * np.log(line.gamma / line.gamma[-1])
        shown = line.gamma > 1e3
        long.plot(line.gamma[shown], law[shown], "-" if n == 3 else "--", color=color, linewidth=1)
    panels.legend(None, long, title="circles n = 3, squares n = 5", loc="upper left")
    gain = 100 * data.quality.gain.isel(ratio=slice(1, None)).clip(min=0)
    early = data.quality.gain.sel(ratio=BELOW) > PAYS
    title = f"Shares below x₁ pay in {int(early.sum())} of {early.size} cases"
    labels = {"x": "share of demonstrations / x₁", "y": "cost saved at the best length (%)"}
    panels.frame(title, least, **labels, log="x", xticks=[0.5, 1, 2, 4])
    least.plot(gain.ratio, gain.T, "-", color=plot.color("sft"), linewidth=0.6, alpha=0.6)
    panels.mark(1.0, least, color="black")
    return figure
