r"""How good must the data of supervised fine-tuning (SFT) be to remove a stall of RL, and how much of it is best?

Chen, Li and Zou say that SFT on data of sufficient quality can mitigate the slow regime. For endless SFT on data whose
patterns have shares μ this has one meaning: it ends at π = μ, so that RL is fast afterwards iff the data's
accuracy Σ μ_r p_r reaches the second-best success rate. For a mixture of the model's own choices and demonstrations of
r*, $\mu=(1-x)\,\pi_{\rm ref}+x\,e_{r^\star}$, that is a share x₀ (`theory.sft_mass_needed`).

But a stall comes from the tiny mass of r*, not from the regime. SFT raises the log odds of r* at the rate x from the
start, so theory predicts that data far below x₀ remove a stall, too, and that as many demonstrations of the second-best
pattern, which raise the data's accuracy as well, remove none.

Experiment: problems with 10 patterns, Dirichlet(1) base policies and uniform success rates on which RL alone, REINFORCE
in expectation, takes longer than 10⁶ to π(r*) = .99; SFT on four kinds of data, each at its best length; and all
lengths and shares for the worked example. The cost is the sum of both times, at unit learning rate.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.problem import Problem, examples
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _curves

study = lab.Study(
    __name__, title="SFT first: how good the data must be to remove a stall, and how much is best"
)

PATTERNS, DEEP, REMOVED = 10, 1e6, 1e4
"""Patterns of a problem; time of RL alone that makes a stall; total time below which it is removed."""
GOOD, NEAR, FAR, RIVAL = "x₀ + .2 (1 − x₀)", ".8 x₀", ".1 x₀", "as many of the second-best"
COLORS = {FAR: plot.RIVAL, NEAR: "#41AB5D", GOOD: "#00441B", RIVAL: plot.CYCLE[4]}
MOST, TICKS = 0.9, (150, 200, 300, 400, 500)
SHARES, TIMES = (0.01, *np.arange(0.025, 0.91, 0.025).round(3)), np.append(0.0, np.geomspace(0.1, 300, 40))


def _drawn(seed: int, count: int, stalled: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The first stalled problems of a number of random ones: log π_ref, success rates, log times; and their share."""
    rng = np.random.default_rng(seed)
    log_ref, success = np.log(rng.dirichlet(np.ones(PATTERNS), count)), rng.random((count, PATTERNS))
    alone = _curves.log_hitting_times(log_ref, success)
    deep = np.flatnonzero(alone > np.log(DEEP))
    kept = deep[:stalled]
    return log_ref[kept], success[kept], alone[kept], deep.size / count


@study.experiment()
def stalled(run: lab.Run) -> xr.Dataset:
    """Least total time of stalled problems, over all lengths of SFT, on each kind of data."""
    log_ref, success, alone, part = _drawn(run.seed, run(lab.scale(768, 4096)), run(lab.scale(96, 480)))
    needed = jax.jit(jax.vmap(theory.sft_mass_needed))(Problem(jnp.asarray(log_ref), jnp.asarray(success)))
    needed = np.asarray(needed)
    enough = needed + 0.2 * (1 - needed)
    kinds = {FAR: (0.1 * needed, 0), NEAR: (0.8 * needed, 0), GOOD: (enough, 0), RIVAL: (enough, 1)}
    times, count = TIMES, len(alone)
    mixtures = np.concatenate([_curves.demonstrations(log_ref, success, *kind) for kind in kinds.values()])
    repeated = [np.tile(x, (len(kinds), 1)) for x in (log_ref, success)]
    log_rl = _curves.log_rl_times(*repeated, mixture=mixtures, times=times).reshape(len(kinds), count, -1)
    _, total = theory.best_split(times, log_rl)
    variables = {
        "log_total": (("data", "problem", "time"), np.logaddexp(log_rl, np.log(np.maximum(times, 1e-300)))),
        "log_least": (("data", "problem"), np.log(total)),
        "log_alone": ("problem", alone),
        "needed": ("problem", needed),
    }
    return lab.dataset(
        variables, {"data": list(kinds), "time": times}, share_of_random_problems=round(part, 3)
    )


@study.experiment()
def worked(run: lab.Run) -> xr.Dataset:
    """The worked example: total time for each share and length, with demonstrations of r* or of its rival."""
    problem, cases = examples.worked(), 2 * len(SHARES)
    room = (0, PATTERNS - problem.patterns)
    log_ref = np.tile(np.pad(problem.log_ref, room, constant_values=-np.inf), (cases, 1))
    success = np.tile(np.pad(problem.success, room), (cases, 1))
    mixture = np.concatenate(
        [_curves.demonstrations(log_ref[: len(SHARES)], success[: len(SHARES)], SHARES, i) for i in (0, 1)]
    )
    log_rl = _curves.log_rl_times(log_ref, success, mixture, TIMES).reshape(2, len(SHARES), -1)
    best, total = theory.best_split(TIMES, log_rl)
    every = ("taught", "share", "time")
    variables = {
        "total": (every, TIMES + np.exp(log_rl)),
        "best_time": (every[:2], best),
        "best_total": (every[:2], total),
        "alone": np.exp(log_rl[0, 0, 0]),
        "needed": theory.sft_mass_needed(problem),
        "accuracy": ("share", mixture[: len(SHARES)] @ success[0]),
    }
    return lab.dataset(variables, {"taught": ["best", "rival"], "share": np.array(SHARES), "time": TIMES})


def _removed(data: lab.Data, kind: str) -> lab.Evidence:
    least = data.stalled.log_least.sel(data=kind)
    name = f"stalled problems with a total below {REMOVED:.0e}, data {kind}"
    return lab.share(name, (least < np.log(REMOVED)).where(least.notnull())).above(MOST)


@study.claim(
    "SFT on data good enough for the fast regime mitigates a stall: the total time falls from above 10⁶ to below 10⁴ "
    "in nine of ten problems or more.",
    origin=papers.QRA_5,
)
def removes(data):
    return _removed(data, GOOD)


@removes.null("as many demonstrations of the second-best pattern in place of r*")
def _(data):
    return _removed(data, RIVAL)


def _remain(data: lab.Data, kinds: list[str]) -> lab.Evidence:
    least = data.stalled.log_least.sel(data=kinds)
    flags = (least >= np.log(REMOVED)).where(least.notnull())
    return lab.share(f"stalled problems with a total of {REMOVED:.0e} or more", flags, "problem").above(MOST)


@study.claim(
    "Data below the threshold of the fast regime leave the stall in nine of ten stalled problems, or more.",
    origin=lab.Asked("The converse: is the quality that is sufficient also necessary?", (papers.QRA_5,)),
)
def needed(data):
    return _remain(data, [FAR, NEAR]).per("data")


@needed.null("data above the threshold")
def _(data):
    return _remain(data, [GOOD])


@needed.positive("demonstrations of the second-best pattern")
def _(data):
    return _remain(data, [RIVAL])


def _faster(data: lab.Data, taught: str) -> lab.Evidence:
    ratio = data.worked.best_total.sel(taught=taught) / data.worked.alone
    return lab.exact("total time at the best length, RL alone taken as 1", ratio).below(0.99).per("share")


@study.claim(
    "In the worked example SFT first, at its best length, is faster than RL alone by a hundredth or more, with shares "
    "of demonstrations from .01 to .9.",
    origin=lab.Asked("How few demonstrations are worth their time?", (papers.QRA_5,)),
)
def faster(data):
    return _faster(data, "best")


@faster.null("demonstrations of the rival")
def _(data):
    return _faster(data, "rival")


@study.figure
def draw(data: lab.Data) -> Figure:
    """The worked example by length and as a map; stalled problems by length, and at the best one."""
    figure, axes = plot.new((9.2, 6.6), nrows=2, ncols=2)
    worked, best = data.worked.isel(time=slice(1, None)), data.worked.sel(taught="best")
    alone, gain = float(worked.alone), float(worked.alone / best.best_total.min())
    first, place = axes[0]
    title = f"Worked example: SFT first is up to {gain:.2f} × faster"
    labels = {"x": "SFT time", "y": "total time to π(r*) = .99"}
    panels.frame(title, first, **labels, log="xy", xlim=(0.1, 300), ylim=(140, 560), yticks=TICKS)
    shown = best.sel(share=[0.1, 0.3, 0.5, 0.9])
    shades = dict(zip(shown.share.values.tolist(), ("#A1D99B", "#41AB5D", "#006D2C", "#00441B"), strict=True))
    names = {
        x: f"x = {x:g}, data accuracy {a:.2f}" for x, a in zip(shades, shown.accuracy.values, strict=True)
    }
    panels.curves(
        shown.total.isel(time=slice(1, None)), first, x="time", by="share", colors=shades, names=names
    )
    for x, color in shades.items():
        one = shown.sel(share=x)
        panels.note((float(one.best_time), float(one.best_total)), first, "", color=color, dot=True)
    panels.mark(alone, first, f"RL alone: {alone:.0f}", axis="y", color=plot.color("rlvr"), at=0.02)
    panels.legend(None, first, title="shares of demonstrations; dots: best length", loc="upper left")
    poor = float(worked.alone / best.best_total.where(best.share < float(best.needed)).min())
    title = f"Below the threshold x₀ it is still up to {poor:.2f} × faster"
    panels.frame(title, place, x="SFT time", y="share of demonstrations x", log="x", xlim=(0.1, 300))
    ratio = np.log10(alone / worked.total.sel(taught="best"))
    panels.heat(ratio, place, x="time", y="share", label="log₁₀ of the speed-up", center=0, smooth=True)
    pays = best.best_total < 0.99 * best.alone
    place.plot(best.best_time[pays], best.share[pays], color="black", linewidth=1)
    panels.note(
        (float(best.best_time[pays][-8]), float(best.share[pays][-8])), place, "best length", color="black"
    )
    place.axhline(float(best.needed), color="black", linestyle="--", linewidth=1)
    panels.note((0.1, float(best.needed)), place, "x₀: fast after endless SFT", color="black")
    _stalls(data.stalled, axes[1])
    return figure


def _stalls(stalled: xr.Dataset, axes: np.ndarray) -> None:
    """Stalled problems: total time against the length of SFT, and its distribution at the best length."""
    scaled = stalled.log_total.isel(time=slice(1, None)) / np.log(10)
    middle, left = float(stalled.log_alone.median()) / np.log(10), stalled.log_least > np.log(REMOVED)
    removed = {kind: 1 - float(left.sel(data=kind).mean()) for kind in COLORS}
    title = f"{stalled.sizes['problem']} stalled problems: even a tenth of x₀ helps"
    if scaled.sel(data=FAR).median("problem").min() > middle - 1:
        title = f"{stalled.sizes['problem']} stalled problems"
    panels.frame(title, axes[0], x="SFT time", y="log₁₀ of the total time", log="x", ylim=(0, 30))
    panels.curves(scaled, axes[0], x="time", by="data", over="problem", spread=(0.1, 0.9), colors=COLORS)
    panels.mark(middle, axes[0], "RL alone (median)", axis="y", color=plot.color("rlvr"), at=0.02)
    panels.legend(None, axes[0], title="demonstrations: median, 10–90 %", loc="upper right", ncols=2)
    title = f"Stall removed: {removed[GOOD]:.0%} with good data, {removed[FAR]:.0%} with poor, {removed[RIVAL]:.0%} "
    labels = {"x": "total time at the best length", "y": "share of problems"}
    panels.frame(title + "with the second-best's", axes[1], **labels, log="x")
    reached = np.exp(stalled.log_least.clip(max=np.log(1e30)))
    panels.survival(reached, axes[1], of="problem", by="data", rising=True, colors=COLORS)
    panels.mark(REMOVED, axes[1], "removed", before=False, at=0.3)
    axes[1].set(xlim=(10, 1e20), ylim=(0, 1.02))
