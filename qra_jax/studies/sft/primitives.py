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

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, recipe
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Evidence, Run, Study, dataset, evidence, panels, scale
from qra_jax.studies.sft import _curves

study = Study(__name__, title="Primitives: what the number of distinct patterns in a warm start does to RL")

PROBLEMS, SPLITS = scale(150, 600), scale(1500, 4000)
PATTERNS, WIDTH, SIZES, TOP, SPLIT, BUDGET, GROUP = 16, 17, [1, 2, 4, 8, 16], 0.9, 8, 100.0, 8
"""n; patterns that rows are filled up to; d; best success rate; parts of a rival; RL time of accuracies; rollouts."""
RIVALS, MASSES, SPREADS, SAMPLES = [1, 2, 4, 8, 16], [0.05, 0.2, 0.5], [0.1, 0.4, 0.8], [4.0, 32.0]
TASTES = {"blind": 0.0, "prefers good": 4.0}
RATES = {"learning_rate": 0.5, "batch": 4}, {"learning_rate": 1.0, "algorithm": grpo(GROUP)}
"""Sampled SFT and RL."""
ADDS, HAS, LACKS = "adds the best one", "best one in already", "best one still missing"
COLORS = {HAS: plot.CYCLE[2], LACKS: plot.RIVAL}
WIDE = {"spread": max(SPREADS), "taste": "blind", "samples": max(SAMPLES)}


def _log_times(policy: np.ndarray, success: np.ndarray) -> np.ndarray:
    """Log of REINFORCE's time, for policies `[..., patterns]` filled up to WIDTH patterns, so that one program does it."""
    fill = [(0, 0)] * (policy.ndim - 1) + [(0, WIDTH - policy.shape[-1])]
    with np.errstate(divide="ignore"):
        return _curves.log_hitting_times(np.log(np.pad(policy, fill)), np.pad(success, fill))


@study.experiment()
def equal(run: Run) -> xr.Dataset:
    """k equal rivals, with a mass on r*, or with 1/d on each of the d = k + 1 patterns."""
    policy = np.zeros((len(MASSES) + 1, len(RIVALS), WIDTH))
    success = np.full(policy.shape, 0.5)
    success[..., 0] = 0.9
    for j, k in enumerate(RIVALS):
        policy[:, j, 0] = (*MASSES, 1 / (k + 1))
        policy[:, j, 1 : k + 1] = (1 - policy[:, j, :1]) / k
    log_time = _log_times(policy, success)
    both = {"log_time": (("mass", "rivals"), log_time[:-1]), "log_time_even": ("rivals", log_time[-1])}
    return dataset(both, {"mass": MASSES, "rivals": RIVALS})


@study.experiment()
def split(run: Run) -> xr.Dataset:
    """Change of log T if a rival is split into parts, beside r* and a poor pattern; and ρ − p'."""
    rng, draws = np.random.default_rng(run.seed), run(SPLITS)
    best = 10 ** rng.uniform(-2.5, -0.05, draws)
    part, rate, poor = rng.uniform(0, 1, draws), rng.uniform(0.3, 0.85, draws), rng.uniform(0, 0.25, draws)
    rival, rest = (1 - best) * part, (1 - best) * (1 - part)
    policy, success = np.zeros((2, draws, SPLIT + 2)), np.zeros((2, draws, SPLIT + 2))
    policy[..., 0], policy[..., 1], success[..., 0], success[..., 1] = best, rest, TOP, poor
    policy[0, :, 2], policy[1, :, 2:], success[..., 2:] = rival, rival[:, None] / SPLIT, rate[:, None]
    change, margin = (
        np.diff(_log_times(policy, success), axis=0)[0],
        best * TOP + rest * poor + rival * rate - rate,
    )
    return dataset({"change": ("draw", change), "margin": ("draw", margin)})


def _expected(start: Array, success: Array) -> Array:
    """Policy after the budget of RL."""
    path = orbit.solve(Problem(start, success), jnp.array([BUDGET]), algorithm=grpo(GROUP))
    return jnp.exp(path.log_policy[0])


def _sampled(ref: Array, success: Array, mixture: Array, key: Array) -> Array:
    """Policy after the most SFT and the budget of RL, by sampled demonstrations and groups."""
    steps = round(max(SAMPLES) / RATES[0]["learning_rate"]), round(BUDGET / RATES[1]["learning_rate"])
    teach = recipe.sft(mixture=mixture, steps=steps[0], runner="sampled", **RATES[0])
    train = recipe.rlvr(steps=steps[1], runner="sampled", **RATES[1])
    return recipe.Recipe((teach, train)).run(Problem(jnp.log(ref), success), key=key).policy


@study.experiment()
def warm(run: Run) -> xr.Dataset:
    """Warm starts by random demonstrators: RL's time, accuracy and share of r* after the budget, expected and sampled."""
    rng, count = np.random.default_rng(run.seed + 1), run(PROBLEMS)
    ref, draw = rng.dirichlet(np.full(PATTERNS, 0.5), count), rng.random((count, PATTERNS))
    order = np.argsort(draw, axis=-1)  # r* first
    ref, draw = np.take_along_axis(ref, order, axis=-1), np.take_along_axis(draw, order, axis=-1)
    taste, size = np.array(list(TASTES.values()))[:, None, None], np.array(SIZES)[:, None, None]
    shown = np.argsort(np.argsort(taste * draw - rng.gumbel(size=draw.shape), axis=-1), axis=-1)
    mixture = (shown[:, None] < size) / size  # [tastes, sizes, problems, patterns]
    rows = [np.broadcast_to(x, mixture.shape).reshape(-1, PATTERNS) for x in (ref, TOP - 0.8 * draw, mixture)]
    log_after = _curves.policies_after(np.log(rows[0]), rows[1], rows[2], np.array(SAMPLES))
    log_after = np.moveaxis(log_after.reshape(*mixture.shape[:-1], len(SAMPLES), PATTERNS), -2, 1)
    log_time = _log_times(np.exp(log_after), np.broadcast_to(TOP - 0.8 * draw, log_after.shape))
    success = TOP - np.array(SPREADS)[:, None, None, None, None, None] * draw
    start, success = np.broadcast_arrays(log_after, success)
    flat = start.reshape(-1, PATTERNS), success.reshape(-1, PATTERNS)
    end = np.asarray(many(_expected)(*flat)).reshape(start.shape)
    few = [
        np.broadcast_to(x, mixture[0].shape).reshape(-1, PATTERNS)
        for x in (ref, success[-1, 0, -1], mixture[0])
    ]
    drawn = np.asarray(many(_sampled)(*few, jax.random.split(run.key, len(few[0])))).reshape(mixture[0].shape)
    dims = ("taste", "samples", "size", "problem")
    variables = {
        "log_time": (dims, log_time),
        "covered": (("taste", "size", "problem"), mixture[..., 0] > 0),
        "accuracy": (("spread", *dims), (end * success).sum(axis=-1)),
        "share": (dims[2:], end[-1, 0, -1, ..., 0]),
        "sampled_accuracy": (dims[2:], (drawn * success[-1, 0, -1]).sum(axis=-1)),
        "sampled_share": (dims[2:], drawn[..., 0]),
    }
    return dataset(variables, {"taste": list(TASTES), "samples": SAMPLES, "size": SIZES, "spread": SPREADS})


def _changes(warm: xr.Dataset, cases: list[str]) -> xr.DataArray:
    """Changes of log T by a doubling of d, by what it adds, as many in every cell `[case, taste, samples, member]`."""
    change, in_it = warm.log_time.diff("size"), warm.covered
    before, after = in_it.isel(size=slice(-1)).values, in_it.isel(size=slice(1, None)).values
    which = {ADDS: ~before & after, HAS: before, LACKS: ~after}
    cells = [
        [[c.values[w] for c in change.sel(taste=t)] for t, w in zip(TASTES, which[k], strict=True)]
        for k in cases
    ]
    least = min(cell.size for case in cells for row in case for cell in row)
    values = [[[cell[:least] for cell in row] for row in case] for case in cells]
    coords = {"case": cases, "taste": list(TASTES), "samples": warm.samples.values}
    return xr.DataArray(values, coords, (*coords, "member"))


def _share(changes: xr.DataArray, slower: bool = False, over: str = "member") -> evidence.Test:
    flags = (changes > 0 if slower else changes < 0).where(changes.notnull())
    return evidence.share(
        f"problems in which RL is {'slower' if slower else 'faster'} after it", flags, over
    ).above(0.5)


NO_GAIN = "a rival of a fast start split in parts, where r* keeps its mass"


def _no_gain(data: Data) -> Evidence:
    return _share(data.split.change[(data.split.margin >= 0).values], over="draw")


@study.claim(
    "A doubling of the distinct patterns in a warm start, at equal samples, speeds RL in most problems, whatever it adds.",
    origin=Asked("Diversity is said to help; apart from covering the best pattern, too?", (papers.PRIM,)),
)
def speeds(data):
    return _share(_changes(data.warm, [ADDS, HAS, LACKS])).per("case")


@study.claim(
    "Without regard to what it adds, every doubling speeds RL in most problems.",
    origin=Asked("What one sees without knowing the best pattern.", (papers.PRIM,)),
)
def doublings(data):
    changes = data.warm.log_time.diff("size").rename(size="doubled_to")
    return _share(changes, over="problem").per("taste", "samples", "doubled_to")


speeds.null(NO_GAIN)(_no_gain)
doublings.null(NO_GAIN)(_no_gain)


@study.claim(
    "A doubling that does not add the best pattern slows RL in most problems.",
    origin=Derived("one more rival, or less mass on r*"),
)
def slows(data):
    return _share(_changes(data.warm, [HAS, LACKS]), slower=True).per("case", "taste", "samples")


slows.null("doublings that add it")(lambda data: _share(_changes(data.warm, [ADDS]), slower=True))


@study.claim(
    "With equal mass on r*, more rivals of equal quality speed RL.",
    origin=Asked("Is diversity as such, apart from mass, a help?", (papers.PRIM,)),
)
def equal_mass(data):
    return evidence.ordered("log times", data.equal.log_time, along="rivals", rising=False)


@equal_mass.null("with the mass 1/d on each pattern")
def _(data):
    return evidence.ordered("log times", data.equal.log_time_even, along="rivals", rising=False)


@equal_mass.positive("more mass on r* in place of more rivals")
def _(data):
    return evidence.ordered("log times", data.equal.log_time, along="mass", rising=False)


def _split(data: Data, sign: float) -> Evidence:
    """Whether splitting never speeds where sign · (ρ − p') ≥ 0, and does in a quarter of the others or more."""
    faster, fast = data.split.change < 0, (sign * data.split.margin >= 0).values
    faster = faster.where(data.split.change.notnull())
    never = evidence.never("fast starts in which splitting speeds RL", faster[fast], rarer_than=0.03)
    return evidence.all_of(never, evidence.share("other starts in which it does", faster[~fast]).above(0.25))


@study.claim(
    "Splitting a rival speeds RL only if it is better than the base accuracy, there in a quarter of problems or more.",
    origin=Derived("the log odds of r* against a part move by π*(p* − ρ) + π_i(ρ − p')"),
)
def splitting(data):
    return _split(data, 1.0)


splitting.null("rivals above and below the accuracy exchanged")(lambda data: _split(data, -1.0))


def _fourfold(data: Data, sign: float) -> Evidence:
    some = data.warm.accuracy.sel(size=[1, 4, 16]).diff("size").assign_coords(size=["1 to 4", "4 to 16"])
    gain = sign * some.rename(size="patterns")
    return evidence.mean("change of accuracy", gain, "problem").above(0.01).per("patterns")


@study.claim(
    "Four times as many patterns raise accuracy after a fixed RL time by a point or more, with every demonstrator.",
    origin=Asked("Diverse warm starts are said to give higher performance.", (papers.PRIM,)),
)
def accuracy(data):
    return _fourfold(data, 1.0)


accuracy.null("fewer patterns in place of more")(lambda data: _fourfold(data, -1.0))


def _lost(data: Data, size: int) -> Evidence:
    gap = (data.warm.sampled_share - data.warm["share"]).sel(size=size)
    return evidence.mean("π(r*) sampled less expected", gap, "problem").below(-0.05)


@study.claim(
    "From the most diverse warm start sampled training loses part of r*: it ends five points or more below expectation.",
    origin=Derived("noise of finite groups, where the share of r* is thin"),
)
def thin(data):
    return _lost(data, SIZES[-1])


thin.null("warm starts on two patterns")(lambda data: _lost(data, 2))


@study.figure
def draw(data: Data) -> Figure:
    """The law at equal mass; splitting a rival; times by coverage; accuracy after the budget."""
    figure, ((law, parts), (covered, last)) = plot.new((10.0, 6.8), nrows=2, ncols=2)
    ratio = np.exp(data.equal.log_time - data.equal.log_time.isel(rivals=0))
    title = f"At equal mass on r* {RIVALS[-1]} rivals take {float(ratio[0, -1]):.2f} × as long as one"
    panels.frame(
        title, law, x="k equal rivals that share the rest", y="time, k = 1 taken as 1", xticks=RIVALS
    )
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
        parts.plot(
            margin[side.values], change[side.values], "o", color=color, markersize=2.5, alpha=0.5, label=name
        )
    parts.axhline(0, color="black", linewidth=0.8)
    panels.legend(None, parts, loc="lower right")
    _coverage(data.warm, covered)
    _accuracy(data.warm, last)
    return figure


def _coverage(warm: xr.Dataset, ax: Axes) -> None:
    some, shown = (
        warm.log_time.sel(taste="blind", samples=WIDE["samples"]) / np.log(10),
        warm.covered.sel(taste="blind"),
    )
    gap = float((some.where(~shown).median("problem") - some.where(shown).median("problem")).min())
    title = f"Without r* in the warm start RL is at least 10^{gap:.1f} × slower (medians)"
    labels = {"x": "distinct patterns d in the warm start", "y": "log₁₀ of RL's time"}
    panels.frame(title, ax, **labels, log="x", xticks=SIZES)
    for is_in, (case, color) in zip((shown, ~shown), COLORS.items(), strict=True):
        name = "r* shown" if case == HAS else "r* not shown"
        low, half, high = some.where(is_in).quantile([0.1, 0.5, 0.9], "problem").values
        ax.fill_between(SIZES, low, high, color=color, alpha=0.12, linewidth=0)
        ax.plot(SIZES, half, "o-", color=color, label=name)
    ax.plot(SIZES, some.median("problem"), "--", color="black", label="all problems")
    panels.legend(None, ax, title="median, 10–90 %", loc="upper right")


def _accuracy(warm: xr.Dataset, ax: Axes) -> None:
    middle = warm.accuracy.sel(samples=WIDE["samples"]).mean("problem")
    best = {taste: int(middle.sel(spread=WIDE["spread"], taste=taste).idxmax("size")) for taste in TASTES}
    title = f"Best d at the widest spread: {best['blind']} if blind, {best['prefers good']} if it prefers good ones"
    labels = {"x": "distinct patterns d in the warm start", "y": f"accuracy at RL time {BUDGET:g}"}
    panels.frame(title, ax, **labels, log="x", xticks=SIZES)
    shades = dict(zip(SPREADS, ("#9ECAE1", "#4292C6", "#08306B"), strict=True))
    names = {spread: f"spread {spread:g}" for spread in SPREADS}
    panels.curves(middle, ax, x="size", by="spread", dash="taste", colors=shades, names=names)
    drawn = warm.sampled_accuracy.mean("problem")
    ax.plot(SIZES, drawn, "o", color=shades[WIDE["spread"]], markersize=4, label="sampled, G = 8, blind")
    panels.legend(None, ax, loc="lower right")
