r"""Does a warm start with more distinct patterns speed RL?

Claim PRIM (Tailor, arXiv 2511.12429): it does. A demonstrator shows d of n patterns, equally often; SFT on the same
number of samples for every d; then RL. Control: equal sample count, and equal mass on the best pattern r*, to tell
diversity from mass.

*Equal mass.* With q on r* (rate p*) and the rest spread evenly over k rivals of one rate p' = p* − Δ,

$$ \dot q = c(\rho)\, q^2(1-q)^2\,\Delta\,(1 + 1/k)\quad\Rightarrow\quad T_k = \frac{2k}{k+1}\,T_1 : $$

under any clock diversity alone *slows* RL, by at most a factor of two. For a warm start on d equal patterns, r* among
them (q = 1/d, k = d − 1), REINFORCE needs $T = \frac{d-1}{d\Delta}\,[F(q_1) - F(1/d)]$ to reach q₁,
F(q) = 2 logit q + (2q − 1)/(q(1 − q)): about d/Δ more for each, the price of mass 1/d.
In general the log odds of r* against a rival i move by π*(p* − ρ) + π_i(ρ − p_i), so splitting a rival's mass helps
exactly while p_i > ρ: at first in an entangled start, never in a fast one.

*Coverage.* A demonstrator who does not know r* shows it or not. SFT takes mass from what it does not show, so that RL
has to find r* from less than before, against rivals that SFT has raised. So theory expects a gain by the pattern that
is added only if that is r*, and a loss otherwise: added to a warm start without r* it is one more rival.

Sampled training can also lose r* where its share is thin (finite groups). Problems: 16 patterns, Dirichlet(½) base
policies, success rates uniform on [.9 − spread, .9]; the demonstrator picks patterns blindly or prefers good ones,
log odds 4 (p − .9)/spread. The d patterns are the first of one order, so that sizes are compared problem by problem.
Success rates a + b p give the orbit of p, b times as fast, so under REINFORCE the spread only sets the unit of time:
hitting times are for the widest one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, recipe, theory
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict, wilson

TITLE = (
    "Primitives: diversity of the warm start speeds RL by covering the best pattern, and costs mass otherwise"
)
SOURCE = "PRIM; Tailor, arXiv 2511.12429"
OWN = "derived here"
TARGET, SURE = 0.99, 3.29
"""Level of π(r*) that ends RL; standard errors that make a difference (99.9 %)."""
RIVALS, MASSES, LEAD = (1, 2, 4, 8, 16), (0.05, 0.2, 0.5), (0.9, 0.5)
"""k, q, and (p*, p') of the law for equal rivals."""
SPLIT = 8
"""Patterns among which a rival's mass is split in random problems."""
PATTERNS, SIZES, TOP = 16, (1, 2, 4, 8, 16), 0.9
SPREADS, SAMPLES = (0.1, 0.4, 0.8), (4.0, 32.0)
"""Spreads of success rates; SFT times, which stand for numbers of samples."""
TASTES = {"blind": 0.0, "prefers good": 4.0}
PROBLEMS = {True: 64, False: 500}
BUDGET = 100.0
"""RL time that accuracies are measured after."""
GROUP, RATE, SFT_RATE, BATCH = 8, 1.0, 0.5, 4
"""Rollouts; sampled: learning rates of RL and SFT, and demonstrations in a step."""
CASES = ("adds the best one", "best one in already", "best one still missing")
COLORS: dict[str, str] = dict(zip(CASES, (plot.BEST, plot.CYCLE[2], plot.RIVAL), strict=True))


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Hitting times at equal mass; warm starts by random demonstrators, followed by RL, expected and sampled."""
    rng = np.random.default_rng(seed)
    data, starts = _demonstrators(rng, PROBLEMS[quick], quick, seed)
    split, margin = _split(rng, 4 * PROBLEMS[quick])
    times = _times(_equal_mass(), split, starts)
    data |= {"law/time": times[0], "split/time": times[1], "split/margin": margin, "log_time": times[2]}
    return {name: np.asarray(value) for name, value in data.items()}


Policies = tuple[np.ndarray, np.ndarray]
"""Policies and success rates, `[..., patterns]`."""


def _times(*parts: Policies) -> list[np.ndarray]:
    """Log of REINFORCE's time to π(r*) = TARGET, `[...]` for each part; one batch, so that one program does it."""
    most = max(policy.shape[-1] for policy, _ in parts)
    pad = lambda x: np.pad(x.reshape(-1, x.shape[-1]), ((0, 0), (0, most - x.shape[-1])))  # noqa: E731
    policy, success = (np.concatenate([pad(part[i]) for part in parts]) for i in (0, 1))
    with np.errstate(divide="ignore"):
        batch = Problem(jnp.asarray(np.log(policy)), jnp.asarray(success))
    found = np.asarray(many(partial(orbit.log_hitting_time, target=TARGET))(batch))
    ends = np.cumsum([policy[..., 0].size for policy, _ in parts])
    cut = np.split(found, ends[:-1])
    return [x.reshape(policy.shape[:-1]) for x, (policy, _) in zip(cut, parts, strict=True)]


def _equal_mass() -> Policies:
    """`[masses + 1, rivals, patterns]`; the last row has the mass 1/d on each of d = k + 1 patterns."""
    shape = (len(MASSES) + 1, len(RIVALS), max(RIVALS) + 1)
    policy, success = np.zeros(shape), np.full(shape, LEAD[1])
    success[..., 0] = LEAD[0]
    for j, k in enumerate(RIVALS):
        policy[:, j, 0] = (*MASSES, 1 / (k + 1))
        policy[:, j, 1 : k + 1] = (1 - policy[:, j, :1]) / k
    return policy, success


def _split(rng: np.random.Generator, draws: int) -> tuple[Policies, np.ndarray]:
    """`[2, draws, patterns]`: a rival whole, and in SPLIT parts, beside r* and a poor pattern; ρ − p'."""
    best = 10 ** rng.uniform(-2.5, -0.05, draws)
    share, rate, poor = rng.uniform(0, 1, draws), rng.uniform(0.3, 0.85, draws), rng.uniform(0, 0.25, draws)
    rival, rest = (1 - best) * share, (1 - best) * (1 - share)
    policy, success = np.zeros((2, draws, SPLIT + 2)), np.zeros((2, draws, SPLIT + 2))
    policy[..., 0], policy[..., 1], success[..., 0], success[..., 1] = best, rest, TOP, poor
    policy[0, :, 2], policy[1, :, 2:], success[..., 2:] = rival, rival[:, None] / SPLIT, rate[:, None]
    return (policy, success), best * TOP + rest * poor + rival * rate - rate


def _demonstrators(
    rng: np.random.Generator, problems: int, quick: bool, seed: int
) -> tuple[dict[str, np.ndarray], Policies]:
    """What the budget of RL achieves `[spreads, tastes, samples, sizes, problems]` after SFT; and the warm starts."""
    ref, draw = rng.dirichlet(np.full(PATTERNS, 0.5), problems), rng.random((problems, PATTERNS))
    best, size = np.argmin(draw, axis=-1)[:, None], np.array(SIZES)[:, None, None]
    taste = np.array(list(TASTES.values()))[:, None, None]
    order = np.argsort(np.argsort(taste * draw - rng.gumbel(size=draw.shape), axis=-1), axis=-1)
    mixture = (order[:, None] < size) / size  # [tastes, sizes, problems, patterns]
    shape = (len(TASTES), len(SAMPLES), *mixture.shape[1:])
    ref, mixture = (np.broadcast_to(x, shape) for x in (ref, mixture[:, None]))
    time = np.broadcast_to(np.array(SAMPLES)[:, None, None], shape[:-1])
    flat = ref.reshape(-1, PATTERNS), mixture.reshape(-1, PATTERNS)
    tuned = np.asarray(many(_warm)(*flat, time.ravel())).reshape(shape)
    success = TOP - np.array(SPREADS)[:, None, None, None, None, None] * draw
    start, success = np.broadcast_arrays(tuned, success)
    end = many(_expected)(start.reshape(-1, PATTERNS), success.reshape(-1, PATTERNS))
    end = np.exp(np.asarray(end)).reshape(start.shape)
    # Sampled: the widest spread, the blind demonstrator, most samples.
    cut = lambda x: np.broadcast_to(x, start.shape)[-1, 0, -1]  # noqa: E731
    few = [cut(x) for x in (ref, success, mixture)]
    keys = jax.random.split(jax.random.key(seed), few[0].size // PATTERNS)
    sampled = many(_sampled)(*(x.reshape(-1, PATTERNS) for x in few), keys)
    sampled = np.exp(np.asarray(sampled)).reshape(few[0].shape)
    data = {
        "covered": _of(mixture[:, 0], best) > 0,
        "accuracy": (end * success).sum(axis=-1),
        "share": _of(end, best),
        "sampled/accuracy": (sampled * few[1]).sum(axis=-1),
        "sampled/share": _of(sampled, best),
    }
    return data, (np.exp(tuned), np.broadcast_to(TOP - max(SPREADS) * draw, tuned.shape))


def _of(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """One pattern's values, `[..., problems, patterns]` at `[problems, 1]`."""
    return np.take_along_axis(values, np.broadcast_to(index, (*values.shape[:-1], 1)), axis=-1)[..., 0]


def _warm(ref: Array, mixture: Array, time: Array) -> Array:
    """Log-policy after SFT; success rates play no part in it."""
    plan = recipe.Recipe((recipe.sft(mixture=mixture, time=time),))
    return plan.run(Problem(jnp.log(ref), jnp.zeros_like(ref))).log_policy


def _expected(start: Array, success: Array) -> Array:
    """Log-policy after the budget of RL."""
    return orbit.solve(Problem(start, success), jnp.array([BUDGET]), algorithm=grpo(GROUP)).log_policy[0]


def _sampled(ref: Array, success: Array, mixture: Array, key: Array) -> Array:
    """Log-policy after as much SFT and RL, by sampled demonstrations and groups."""
    steps = round(max(SAMPLES) / SFT_RATE), round(BUDGET / RATE)
    teach = recipe.sft(mixture=mixture, steps=steps[0], learning_rate=SFT_RATE, batch=BATCH, runner="sampled")
    train = recipe.rlvr(steps=steps[1], learning_rate=RATE, algorithm=grpo(GROUP), runner="sampled")
    return recipe.Recipe((teach, train)).run(Problem(jnp.log(ref), success), key=key).log_policy


def changes(data: Mapping[str, np.ndarray]) -> list[list[np.ndarray]]:
    """Changes of log T by doubling d, all doublings together: for each of CASES, one array for each cell of the map.

    Args:
      data: from [`compute`][].

    Returns:
      `[cases][tastes · samples]`, arrays.
    """
    change, covered = np.diff(data["log_time"], axis=-2), data["covered"].astype(bool)
    cells = [(i, j) for i in range(len(TASTES)) for j in range(len(SAMPLES))]
    before, after = covered[:, :-1], covered[:, 1:]
    cases = (~before & after, before, ~after)
    return [[change[i, j][case[i]] for i, j in cells] for case in cases]


def _sides(cells: list[np.ndarray]) -> list[int]:
    """For each cell whether most changes are for the better (1), for the worse (−1) or neither (Wilson)."""
    ends = [wilson((cell < 0).sum(), cell.size) for cell in cells]
    return [int(low > 0.5) - int(high < 0.5) for low, high in ends]


def _steps(values: np.ndarray) -> np.ndarray:
    """Signs of the mean change by each doubling, `[..., sizes, problems]` to `[..., sizes − 1]`; 0 within the noise."""
    change = np.diff(values, axis=-2)
    error = change.std(axis=-1, ddof=1) / np.sqrt(change.shape[-1])
    return np.sign(change.mean(axis=-1)) * (np.abs(change.mean(axis=-1)) > SURE * error)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """The law at equal mass; splitting a rival; times by coverage; accuracy after the budget."""
    figure, axes = plot.new((10.0, 6.8), nrows=2, ncols=2)
    _law(data, axes[0, 0])
    _splits(data, axes[0, 1])
    _coverage(data, axes[1, 0])
    _accuracy(data, axes[1, 1])
    return figure


def _law(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    k = np.array(RIVALS)
    fine = np.linspace(1, max(RIVALS), 100)
    ax.plot(fine, 2 * fine / (fine + 1), color="black", label="2k/(k + 1)")
    for i, (q, marker) in enumerate(zip(MASSES, "osD", strict=True)):
        ratio = np.exp(data["law/time"][i] - data["law/time"][i, 0])
        label = f"π(r*) = {q:g} at the start"
        ax.plot(k, ratio, marker, color=plot.BEST, markersize=9 - 3 * i, markerfacecolor="none", label=label)
    ax.set(xlabel="k equal rivals that share the rest", ylabel="time, k = 1 taken as 1", ylim=(0.9, 2.1))
    ax.legend(loc="lower right")
    ax.set_title("At equal mass on r*, diversity itself slows RL")


def _splits(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    change, margin = np.diff(data["split/time"], axis=0)[0] / np.log(10), data["split/margin"]
    for inside, color, label in (
        (margin < 0, plot.RIVAL, "entangled: p' > ρ"),
        (margin >= 0, plot.BEST, "fast: p' ≤ ρ"),
    ):
        ax.plot(margin[inside], change[inside], "o", color=color, markersize=3, alpha=0.6, label=label)
    ax.axhline(0, color="black", linewidth=0.8, zorder=0)
    ax.axvline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(xlabel="base accuracy − rate of the rival, ρ − p'", ylabel="change of log₁₀ time")
    ax.legend(loc="lower right")
    ax.set_title(f"Rival in {SPLIT} parts: helps only if entangled")


def _coverage(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    log_time, covered = data["log_time"][0, -1] / np.log(10), data["covered"][0].astype(bool)
    for case, name in ((covered, CASES[1]), (~covered, CASES[2])):
        chosen = [i for i in range(len(SIZES)) if case[i].any()]
        middle = [np.percentile(log_time[i][case[i]], [10, 50, 90]) for i in chosen]
        low, half, high = np.array(middle).T
        sizes, label = np.array(SIZES)[chosen], "shown r*" if case is covered else "not shown r*"
        ax.fill_between(sizes, low, high, color=COLORS[name], alpha=0.12, linewidth=0)
        ax.plot(sizes, half, "o-", color=COLORS[name], label=label)
    ax.plot(SIZES, np.median(log_time, axis=-1), "--", color="black", label="all problems")
    ax.set(xscale="log", xlabel="distinct patterns d in the warm start", ylabel="log₁₀ of RL's time")
    ax.set_xticks(SIZES, [str(d) for d in SIZES])
    ax.minorticks_off()
    ax.legend(loc="upper right", title="median, 10–90 %", title_fontsize=8)
    ax.set_title("What counts is whether r* is shown")


def _accuracy(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    accuracy = data["accuracy"][:, :, -1].mean(axis=-1)
    for i, (spread, color) in enumerate(zip(SPREADS, ("#9ECAE1", "#4292C6", "#08306B"), strict=True)):
        for j, (taste, style) in enumerate(zip(TASTES, ("-", "--"), strict=True)):
            label = f"spread {spread:g}, {taste}" if j == 0 or i == 2 else None
            ax.plot(SIZES, accuracy[i, j], style, color=color, label=label)
    sampled = data["sampled/accuracy"].mean(axis=-1)
    ax.plot(SIZES, sampled, "o", color="#08306B", markersize=4, label=f"sampled, G = {GROUP}, η = {RATE:g}")
    ax.axhline(TOP, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(
        xscale="log", xlabel="distinct patterns d in the warm start", ylabel=f"accuracy at RL time {BUDGET:g}"
    )
    ax.set_xticks(SIZES, [str(d) for d in SIZES])
    ax.minorticks_off()
    ax.legend(fontsize=7.5, loc="lower right")
    ax.set_title("A good demonstrator needs fewer patterns")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Cases by Wilson's intervals in every cell (taste, samples) of the map; means at SURE standard errors."""
    k, law_time = np.array(RIVALS), np.exp(data["law/time"])
    ratio = law_time[:-1] / law_time[:-1, :1]
    gap = LEAD[0] - LEAD[1]
    starts = np.stack([*(np.full(k.shape, q) for q in MASSES), 1 / (k + 1)])
    rivals = jnp.asarray(np.broadcast_to(k, starts.shape), float)
    law = theory.equal_rivals_time(jnp.asarray(starts), TARGET, gap=gap, rivals=rivals)
    off = np.abs(law_time / np.asarray(law) - 1).max(axis=1)
    split, margin = np.diff(data["split/time"], axis=0)[0], data["split/margin"]
    fast, entangled = split[margin >= 0], split[margin < 0]
    cases = changes(data)
    sides = [_sides(cells) for cells in cases]
    median = np.median(data["log_time"], axis=-1) / np.log(10)
    steps = _steps(data["accuracy"])
    alike = _steps(data["accuracy"][-1, 0, -1]) * _steps(data["sampled/accuracy"])
    lost = data["sampled/share"] - data["share"][-1, 0, -1]
    return [
        Verdict(
            "More distinct patterns in the warm start speed RL, at an equal number of samples.",
            SOURCE,
            f"most problems are faster after a doubling of d, whatever is added (all {len(sides[0])} cells of the map)",
            "; ".join(_said(name, cells) for name, cells in zip(CASES, cases, strict=True)),
            _only_if_added(sides),
        ),
        Verdict(
            "A doubling that does not add the best pattern slows RL.",
            OWN,
            "most problems are slower, in all cells",
            "; ".join(_said(name, cells) for name, cells in zip(CASES[1:], cases[1:], strict=True)),
            _slows(sides[1:]),
        ),
        Verdict(
            "The median time falls with every doubling of d.",
            SOURCE,
            f"medians for d = {', '.join(str(d) for d in SIZES)} fall",
            "; ".join(
                f"{taste}, SFT time {time:g}: 10^" + ", 10^".join(f"{x:.1f}" for x in median[i, j])
                for i, taste in enumerate(TASTES)
                for j, time in enumerate(SAMPLES)
            ),
            verdict((np.diff(median, axis=-1) < 0).all()),
        ),
        Verdict(
            "With equal mass on r*, more rivals of equal quality speed RL.",
            SOURCE + ", diversity apart from mass",
            "times fall with k",
            f"T_k/T_1 = {', '.join(f'{x:.3f}' for x in ratio.mean(axis=0))} for k = {', '.join(map(str, RIVALS))}",
            verdict((np.diff(ratio, axis=-1) < 0).all()),
        ),
        Verdict(
            "It slows it by 2k/(k + 1); with mass 1/d on each the time is (d − 1)[F(q₁) − F(1/d)]/(dΔ).",
            OWN,
            "exact times equal the formulas",
            f"largest relative difference {max(off):.0e}; T = {law_time[-1, 0]:.0f} for d = 2, {law_time[-1, -1]:.0f} "
            f"for d = {k[-1] + 1}",
            verdict(max(off) < 1e-6),
        ),
        Verdict(
            f"Splitting a rival into {SPLIT} equally good patterns, r* keeping its mass, speeds RL.",
            OWN + ": log odds of r* against a part move by π*(p* − ρ) + π_i(ρ − p')",
            "faster only where p' > ρ",
            f"faster in {(entangled < 0).mean():.0%} of {entangled.size} entangled problems (up to 10^"
            f"{-entangled.min() / np.log(10):.1f} ×), in {(fast < 0).mean():.0%} of {fast.size} others",
            _split_verdict(fast, entangled),
        ),
        Verdict(
            f"More patterns give higher accuracy after a fixed RL time ({BUDGET:g}).",
            SOURCE,
            "no doubling lowers the mean accuracy, some raise it, in all cells",
            "best d: " + "; ".join(_best(data, *cell) for cell in np.ndindex(steps.shape[:-1])),
            _never_falls(steps),
        ),
        Verdict(
            f"Sampled training (groups of {GROUP}, η = {RATE:g}) gains by diversity where expected training does.",
            OWN,
            "no doubling has opposite signs",
            f"accuracies {', '.join(f'{x:.3f}' for x in data['sampled/accuracy'].mean(axis=-1))}, expected "
            f"{', '.join(f'{x:.3f}' for x in data['accuracy'][-1, 0, -1].mean(axis=-1))}; π(r*) sampled − expected "
            + ", ".join(f"{x:+.3f}" for x in lost.mean(axis=-1)),
            verdict((alike >= 0).all() and (alike > 0).any()),
        ),
    ]


def _said(name: str, cells: list[np.ndarray]) -> str:
    shares = ", ".join(f"{(cell < 0).mean():.0%}" for cell in cells)
    middle = np.median(np.concatenate(cells)) / np.log(10)
    return f"{name}: faster in {shares} (median 10^{middle:+.1f} ×, {sum(cell.size for cell in cells)} cases)"


def _only_if_added(sides: list[list[int]]) -> str:
    speeds = [min(side) > 0 for side in sides]
    if all(speeds) or not any(speeds):
        return verdict(all(speeds))
    names = ("they add the best one", "they have the best one already", "they lack the best one")
    return ONLY_IF + " or ".join(name for name, fine in zip(names, speeds, strict=True) if fine)


def _slows(sides: list[list[int]]) -> str:
    """Where doublings slow: in all cells of all cases, in none, or only in some."""
    slow = [[side < 0 for side in case] for case in sides]
    if all(map(all, slow)) or not any(map(any, slow)):
        return verdict(all(map(all, slow)))
    cells = [f"{taste}, SFT time {time:g}" for taste in TASTES for time in SAMPLES]
    where = []
    for name, case in zip(("it is in", "it is missing"), slow, strict=True):
        some = "; ".join(cell for cell, yes in zip(cells, case, strict=True) if yes)
        where += [name + (" already" if all(case) else f" ({some})")] if some else []
    return ONLY_IF + " or ".join(where)


def _split_verdict(fast: np.ndarray, entangled: np.ndarray) -> str:
    if (fast < 0).any() or not (entangled < 0).any():
        return verdict((fast < 0).all() and (entangled < 0).all())
    return ONLY_IF + "the rival is better than the base accuracy (not in all of these cases)"


def _best(data: Mapping[str, np.ndarray], spread: int, taste: int, samples: int) -> str:
    d = SIZES[int(np.argmax(data["accuracy"][spread, taste, samples].mean(axis=-1)))]
    return f"{d} ({_cell(spread, taste, samples)})"


def _never_falls(steps: np.ndarray) -> str:
    rises = (steps >= 0).all(axis=-1) & (steps > 0).any(axis=-1)
    if rises.all() or not rises.any():
        return verdict(rises.all())
    cells = [_cell(*cell) for cell in zip(*np.nonzero(rises), strict=True)]
    return ONLY_IF + f"the cell is one of these {len(cells)} (of {rises.size}): " + "; ".join(cells)


def _cell(spread: Any, taste: Any, samples: Any) -> str:
    return f"spread {SPREADS[spread]:g}, {list(TASTES)[taste]}, SFT time {SAMPLES[samples]:g}"
