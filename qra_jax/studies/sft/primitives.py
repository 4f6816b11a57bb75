r"""Does a warm start with more distinct patterns speed RL?

Tailor argues for a warm start with diverse primitives of high quality. Asked here: does diversity do it, apart from
quality? A demonstrator shows d of n patterns, equally often; SFT on the same number of samples for every d; then RL.

*Equal mass*, derived here. With q on r* (rate p*) and the rest spread evenly over k rivals of one rate p' = p* − Δ,

$$ \dot q = c(\rho)\, q^2(1-q)^2\,\Delta\,(1 + 1/k)\quad\Rightarrow\quad T_k = \frac{2k}{k+1}\,T_1 : $$

under any clock diversity alone *slows* RL, by at most a factor of two (`theory.equal_rivals_time`). In general the log
odds of r* against a rival i move by π*(p* − ρ) + π_i(ρ − p_i), so splitting a rival's mass helps exactly while p_i > ρ:
at first in an entangled start, never in a fast one.

*Coverage.* A demonstrator who does not know r* shows it or not. SFT takes mass from what it does not show, so that RL
has to find r* from less than before, against rivals that SFT has raised. So theory expects a gain by the pattern that
is added only if that is r*, and a loss otherwise: added to a warm start without r* it is one more rival. Sampled
training can also lose r* where its share is thin.

Experiment: 16 patterns, Dirichlet(½) base policies, success rates uniform on [.9 − spread, .9]; the demonstrator picks
patterns blindly or prefers good ones, log odds 4 (p − .9)/spread. The d patterns are the first of one order, so that
sizes are compared problem by problem. Success rates a + b p give the orbit of p, b times as fast, so under REINFORCE
the spread only sets the unit of time: hitting times are for the widest one.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _warm
from qra_jax.studies.sft._warm import ADDS, BUDGET, HAS, LACKS, SIZES, SPREADS, TASTES, TOP

study = lab.Study(
    __name__, title="Primitives: what the number of distinct patterns in a warm start does to RL"
)

PROBLEMS, SPLITS, SPLIT = lab.scale(150, 600), lab.scale(5000, 8000), 8
RIVALS, MASSES = [1, 2, 4, 8, 16], [0.05, 0.2, 0.5]
MOST, POINTS = 0.75, 0.03
"""Share of problems that is more than a change of no effect gives, ½; difference in accuracy or π(r*) that matters."""
SHADES = dict(zip(SPREADS, ("#9ECAE1", "#4292C6", "#08306B"), strict=True))


@study.experiment()
def equal(run: lab.Run) -> xr.Dataset:
    """k equal rivals beside r*, for the figure: what they do is a theorem."""
    policy = np.zeros((len(MASSES), len(RIVALS), _warm.WIDTH))
    success = np.full(policy.shape, 0.5)
    success[..., 0] = 0.9
    for j, k in enumerate(RIVALS):
        policy[:, j, 0] = MASSES
        policy[:, j, 1 : k + 1] = (1 - policy[:, j, :1]) / k
    times = {"log_time": (("mass", "rivals"), _warm.log_times(policy, success))}
    return lab.dataset(times, {"mass": MASSES, "rivals": RIVALS})


@study.experiment()
def split(run: lab.Run) -> xr.Dataset:
    """Change of log T if a rival is split into parts, beside r* and a poor pattern; ρ − p'; and the rate p'."""
    rng, draws = np.random.default_rng(run.seed), run(SPLITS)
    best = 10 ** rng.uniform(-2.5, -0.05, draws)
    part, rate, poor = rng.uniform(0, 1, draws), rng.uniform(0.3, 0.85, draws), rng.uniform(0, 0.25, draws)
    rival, rest = (1 - best) * part, (1 - best) * (1 - part)
    policy, success = np.zeros((2, draws, SPLIT + 2)), np.zeros((2, draws, SPLIT + 2))
    policy[..., 0], policy[..., 1], success[..., 0], success[..., 1] = best, rest, TOP, poor
    policy[0, :, 2], policy[1, :, 2:], success[..., 2:] = rival, rival[:, None] / SPLIT, rate[:, None]
    change, margin = (
        np.diff(_warm.log_times(policy, success), axis=0)[0],
        best * TOP + rest * poor + rival * rate - rate,
    )
    return lab.dataset({"change": ("draw", change), "margin": ("draw", margin), "rate": ("draw", rate)})


@study.experiment()
def warm(run: lab.Run) -> xr.Dataset:
    """Warm starts by random demonstrators: RL's time, accuracy and π(r*) after a budget, expected and sampled."""
    return _warm.starts(run.seed, run(PROBLEMS))


WORDS = {1: "problems in which RL is slower after it", -1: "problems in which RL is faster after it"}
AGAIN = "as many duplicates of patterns that are there, drawn at random, in place of new ones"


def _again(data: lab.Data, sign: int) -> lab.Evidence:
    """The same for duplicates: what changes without any new pattern."""
    before = data.warm.log_time.sel(size=_warm.TWICE).rename(size="twice")
    change = data.warm.log_time_twice - before
    return lab.share(WORDS[sign], lab.where_known(sign * change > 0, change), "problem").above(MOST)


@study.claim(
    "A doubling of the patterns in a warm start, at equal samples, speeds RL in three of four problems or more, "
    "whatever it adds.",
    origin=lab.Asked("Diversity is said to help; apart from covering the best pattern, too?", (papers.PRIM,)),
)
def speeds(data):
    return _warm.shares(WORDS[-1], data.warm, [ADDS, HAS, LACKS], -1).above(MOST).per("case")


@study.claim(
    "Without regard to what it adds, every doubling speeds RL in three of four problems or more.",
    origin=lab.Asked("What one sees without knowing the best pattern.", (papers.PRIM,)),
)
def doublings(data):
    change = data.warm.log_time.diff("size").rename(size="doubled_to")
    faster = lab.share(WORDS[-1], lab.where_known(change < 0, change), "problem")
    return faster.above(MOST).per("taste", "samples", "doubled_to")


@study.claim(
    "A doubling that does not add the best pattern slows RL in three of four problems or more.",
    origin=lab.Derived("one more rival, or less mass on r*"),
)
def slows(data):
    return _warm.shares(WORDS[1], data.warm, [HAS, LACKS], 1).above(MOST).per("case", "taste", "samples")


speeds.null(AGAIN)(lambda data: _again(data, -1))
doublings.null(AGAIN)(lambda data: _again(data, -1))
slows.null(AGAIN)(lambda data: _again(data, 1))


def _split(data: lab.Data, margin: xr.DataArray) -> lab.Evidence:
    """Whether splitting never speeds where the margin is 0 or more, and does in a quarter of the others or more."""
    faster = lab.where_known(data.split.change < 0, data.split.change, margin)
    fast = (margin >= 0).values | margin.isnull().values
    never = lab.never("starts with p' ≤ ρ in which splitting speeds RL", faster[fast])
    return lab.all_of(never, lab.share("other starts in which it does", faster[~fast]).above(0.25))


@study.claim(
    "Splitting a rival speeds RL only if it is better than the base accuracy, there in a quarter of problems or more.",
    origin=lab.Derived("the log odds of r* against a part move by π*(p* − ρ) + π_i(ρ − p')"),
)
def splitting(data):
    return _split(data, data.split.margin)


@splitting.null("½ in the base accuracy's place")
def _(data):
    return _split(data, 0.5 - data.split["rate"])


@study.claim(
    "Four times as many patterns raise accuracy after a fixed RL time by three points or more.",
    origin=lab.Asked("Diverse warm starts are said to give higher performance.", (papers.PRIM,)),
)
def accuracy(data):
    some = data.warm.accuracy.sel(size=[1, 4, 16]).diff("size").assign_coords(size=["1 to 4", "4 to 16"])
    gain = lab.mean("change of accuracy", some.rename(size="patterns"), "problem")
    return gain.above(POINTS).per("patterns", "taste", "spread")


@accuracy.null(AGAIN)
def _(data):
    gain = data.warm.accuracy_twice - data.warm.accuracy.sel(size=_warm.TWICE).rename(size="twice")
    return lab.mean("change of accuracy", gain, "problem").above(POINTS)


def _lost(data: lab.Data, size: int) -> lab.Evidence:
    gap = (data.warm.sampled_best - data.warm.best).sel(size=size)
    return lab.mean("π(r*) sampled less expected", gap, "problem").below(-POINTS)


@study.claim(
    "From the most diverse warm start sampled training loses part of r*: three points or more of what is expected.",
    origin=lab.Derived("noise of finite groups, where the share of r* is thin"),
)
def thin(data):
    return _lost(data, SIZES[-1])


thin.null("warm starts on two patterns")(lambda data: _lost(data, 2))


@study.figure
def draw(data: lab.Data) -> Figure:
    """The law at equal mass; splitting a rival; times by coverage; accuracy after the budget."""
    figure, ((law, parts), (covered, last)) = plot.new((10.0, 6.8), nrows=2, ncols=2)
    ratio = np.exp(data.equal.log_time - data.equal.log_time.isel(rivals=0))
    title = f"At equal mass on r* {RIVALS[-1]} rivals take {float(ratio[0, -1]):.2f} × as long as one"
    panels.frame(title, law, x="k equal rivals that share the rest", y="time, k = 1: 1", xticks=RIVALS)
    fine = np.linspace(1, max(RIVALS), 100)
    law.plot(fine, 2 * fine / (fine + 1), color="black", label="2k/(k + 1)")
    panels.dots(ratio, law, x="rivals", by="mass", names={q: f"π(r*) = {q:g} at the start" for q in MASSES})
    panels.legend(None, law, loc="lower right")
    change, margin = data.split.change / np.log(10), data.split.margin
    sides = {"entangled: p' > ρ": margin < 0, "fast: p' ≤ ρ": margin >= 0}
    helped = [f"{float((change[side.values] < 0).mean()):.0%}" for side in sides.values()]
    title = f"A rival in {SPLIT} parts: faster in {helped[0]} if entangled, else in {helped[1]}"
    panels.frame(title, parts, x="base accuracy − rate of the rival, ρ − p'", y="change of log₁₀ time")
    for (name, side), color in zip(sides.items(), (plot.RIVAL, plot.BEST), strict=True):
        parts.plot(margin[side.values], change[side.values], ".", color=color, alpha=0.6, label=name)
    parts.axhline(0, color="black", linewidth=0.8)
    panels.legend(None, parts, loc="lower right")
    _coverage(data.warm, covered)
    _accuracy(data.warm, last)
    return figure


def _coverage(warm: xr.Dataset, ax: Axes) -> None:
    some = warm.log_time.sel(taste="blind", samples=_warm.SAMPLES[-1]) / np.log(10)
    shown, middle = warm.covered.sel(taste="blind").astype(bool), []
    labels = {"x": "distinct patterns d in the warm start", "y": "log₁₀ of RL's time"}
    for is_in, color, name in ((shown, plot.CYCLE[2], "r* shown"), (~shown, plot.RIVAL, "r* not shown")):
        held = some.where(is_in).isel(size=is_in.any("problem").values)
        low, half, high = held.quantile([0.1, 0.5, 0.9], "problem").values
        ax.fill_between(held["size"], low, high, color=color, alpha=0.12, linewidth=0)
        ax.plot(held["size"], half, "o-", color=color, label=name)
        middle.append(half)
    gap = float(np.min(middle[1] - middle[0][: len(middle[1])]))
    title = f"Without r* in the warm start RL is at least 10^{gap:.1f} × slower (medians)"
    panels.frame(title, ax, **labels, log="x", xticks=SIZES)
    ax.plot(SIZES, some.median("problem"), "--", color="black", label="all problems")
    panels.legend(None, ax, title="median, 10–90 %", loc="upper right")


def _accuracy(warm: xr.Dataset, ax: Axes) -> None:
    middle = warm.accuracy.sel(samples=_warm.SAMPLES[-1]).mean("problem")
    best = {taste: int(middle.sel(spread=SPREADS[-1], taste=taste).idxmax("size")) for taste in TASTES}
    title = f"Best d at the widest spread: {best['blind']} if blind, {best['prefers good']} if it prefers good ones"
    labels = {"x": "distinct patterns d in the warm start", "y": f"accuracy at RL time {BUDGET:g}"}
    panels.frame(title, ax, **labels, log="x", xticks=SIZES)
    names = {spread: f"spread {spread:g}" for spread in SPREADS}
    panels.curves(middle, ax, x="size", by="spread", dash="taste", colors=SHADES, names=names)
    drawn = warm.sampled_accuracy.mean("problem")
    ax.plot(SIZES, drawn, "o", color=SHADES[SPREADS[-1]], markersize=4, label="sampled, G = 8, blind")
    panels.legend(None, ax, loc="lower right")
