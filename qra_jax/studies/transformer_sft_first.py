"""Does SFT before RLVR remove the stall of a network, too, and does the tabular theory know how much is enough?

Claim QRA-5 (Chen, Li, Zou, arXiv 2506.04695 v1): SFT on good enough data removes the slow, entangled regime. In
the tabular model "good enough" is a share x₀ of demonstrations of the best pattern (theory.sft_mass_needed).

A weak decoder (the worked example with half its success rates: r* rare, start entangled, most answers wrong) is
tuned for some steps on (1 − x) π_ref + x e_{r*}, its answers as right as before, and then trained by GRPO. The
exact read-outs π, p after SFT go into the tabular orbit, whose hitting time is set against the network's steps to
π(r*) = .9. Two worlds: answers whose rightness is a coin with the pattern's success rate, which nothing can change
(the theory's assumption), and answers that are learnt along with the choice; SGD, the theory's optimiser, and Adam.

Statistics: t intervals (95 %) over seeds, of log ratios of steps (runs that do not arrive counted with all their
steps), of shares of a seed's runs, of changes of success rates (zero where all lie within ±.02). By how much SFT
shortens RLVR is measured on seeds that arrive both with and without it, and is left open if any does not.
Spearman's rank correlation over all runs, those that do not arrive last, interval from 2000 resamplings of seeds, on
the same ones its lead over the control. An interval on both sides of its bound decides nothing: the verdict says so.
Seeds with a read-out that is no number are left out and counted.

Control: no SFT from the same networks; data below the threshold; −log π(r*) after SFT as a predictor without any
dynamics.

Limit: one learning rate for each optimiser, chosen so that RLVR without SFT about arrives within the steps; all
statements about steps are about these.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from qra_jax import orbit, plot, theory, transformer
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies.base import ONLY_IF, Verdict, bounded, decided, interval
from qra_jax.transformer import rl
from qra_jax.transformer.learning import cross_entropy

TITLE = "SFT first, in a network: the stall goes, but learnt answers take another way to accuracy"
SOURCE = "QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1"
QUESTIONS, ANSWERS, GROUP, TARGET = 8, 4, 8, 0.9
WIDTH, DEPTH, PRETRAINING = 32, 2, 400
STEPS, RECORD = 100, 4
RATES = {"SGD": 0.03, "Adam": 1e-3}
WORLDS = ("coin", "learnt")
DATA = ("too poor: x = x₀/10", "too poor: x = .8 x₀", "good enough: x = x₀ + .2 (1 − x₀)")
"""Data of SFT; x₀ is the share of demonstrations of r* that the threshold asks for."""
LENGTHS, SFT_RATE = (5, 20, 80), 1e-3
"""Steps of SFT, and the learning rate of its Adam."""
PREDICTORS = {"softmax": "tabular", "natural": "natural gradient", "rarity": "−log π(r*) alone"}
SHADES = ("#A1D99B", "#41AB5D", "#00441B")


def weak() -> Problem:
    """The worked example with half its success rates, and wrong answers spread over three."""
    worked = examples.worked()
    right = np.asarray(worked.success)[:, None] / 2
    wrong = np.repeat((1 - right) / (ANSWERS - 1), ANSWERS - 1, axis=1)
    return Problem.from_probs(ref=worked.ref, answers=np.concatenate([right, wrong], axis=1))


def shares(problem: Problem) -> np.ndarray:
    """x of each kind of `DATA`."""
    needed = float(theory.sft_mass_needed(problem))
    return np.array([needed / 10, 0.8 * needed, needed + 0.2 * (1 - needed)])


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Networks with and without SFT, trained in each world; tabular hitting times from their read-outs."""
    problem, number = weak(), 2 if quick else 8
    questions = QUESTIONS // 2 if quick else QUESTIONS
    task = transformer.controlled(stack([problem] * questions), digits=1)
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=DEPTH)
    keys = jax.random.split(jax.random.key(seed), number)
    base = transformer.learn(
        keys, model, task.demonstrations, steps=PRETRAINING, questions=questions, keep=True
    )
    shown = task.demonstrations()

    def look(params: Any) -> dict[str, Array]:
        found = transformer.read_out(model, params, shown)
        means = {"policy": found.policy, "success": found.success, "accuracy": found.accuracy}
        return {name: jnp.mean(value, axis=0) for name, value in means.items()}

    def tuned(params: Any, mixture: Array, length: Array) -> Any:
        lessons, adam = task.demonstrations(mixture=mixture), optax.adam(SFT_RATE)

        def step(_: Any, carry: Any) -> Any:
            params, memory = carry
            slope = jax.grad(lambda params: cross_entropy(model, params, lessons))(params)
            change, memory = adam.update(slope, memory, params)
            return optax.apply_updates(params, change), memory

        return jax.lax.fori_loop(0, length, step, (params, adam.init(params)))[0]

    def run(key: Array, params: Any, mixture: Array, length: Array, coin: Array, adam: Array) -> Any:
        return transformer.train(
            key,
            model,
            tuned(params, mixture, length),
            replace(task, coin=coin),
            algorithm=grpo(GROUP),
            steps=STEPS,
            questions=questions,
            learning_rate=jnp.where(adam, RATES["Adam"], RATES["SGD"]),
            optimizer=rl.sgd_or_adam(adam),
            record_every=RECORD,
            probe=look,
        ).seen

    settings = [(world == "coin", rule == "Adam") for rule in RATES for world in WORLDS]
    settings = settings[:2] if quick else settings
    x = shares(problem)
    lengths = LENGTHS[1:2] if quick else LENGTHS
    conditions = [(0.0, 0), *((share, length) for share in x for length in lengths)]
    grid = [(*setting, *case, i) for setting in settings for case in conditions for i in range(number)]
    coin, adam, share, length, which = (np.array(column) for column in zip(*grid, strict=True))
    mixture = (1 - share[:, None]) * np.asarray(problem.ref) + share[:, None] * np.eye(problem.patterns)[0]
    begun = jax.tree.map(lambda leaf: leaf[which], base.params)
    runs = jax.vmap(jax.random.fold_in)(keys[which], jnp.arange(len(grid)))
    seen = transformer.side_by_side(run)(runs, begun, mixture, length, coin, adam)
    shape = len(settings), len(conditions), number
    seen = {name: np.asarray(value, float).reshape(*shape, *value.shape[1:]) for name, value in seen.items()}
    # In the coin's world what an answer says does not matter: success rates are the problem's.
    fixed = coin.reshape(shape)
    seen["success"] = np.where(fixed[..., None, None], np.asarray(problem.success), seen["success"])
    at_coin = (seen["policy"] * seen["success"]).sum(axis=-1)
    seen["accuracy"] = np.where(fixed[..., None], at_coin, seen["accuracy"])
    return {
        "settings": np.array([f"{WORLDS[not c]}, {list(RATES)[a]}" for c, a in settings]),
        "share": np.array([case[0] for case in conditions]),
        "length": np.array([case[1] for case in conditions]),
        "needed": np.asarray(theory.sft_mass_needed(problem)),
        "step": np.arange(0, STEPS + 1, RECORD),
        "steps": crossing(seen["policy"][..., 0]),
        "accurate": crossing(seen["accuracy"]),
        **{name: seen[name] for name in ("policy", "success", "accuracy")},
        **predicted(seen["policy"][..., 0, :], seen["success"][..., 0, :]),
    }


def crossing(path: np.ndarray) -> np.ndarray:
    """Steps until a path first reaches the target, linear between records; infinite if it never does.

    Args:
      path: `[..., times]`, values at every `RECORD` steps.

    Returns:
      `[...]`, steps.
    """
    there = path >= TARGET
    at = there.argmax(axis=-1)[..., None]
    now = np.take_along_axis(path, at, axis=-1)
    before = np.take_along_axis(path, np.maximum(at - 1, 0), axis=-1)
    part = np.where(at > 0, (now - TARGET) / np.where(now > before, now - before, 1.0), 0.0)
    return np.where(there.any(axis=-1), (RECORD * (at - part))[..., 0], np.inf)


def predicted(policy: np.ndarray, success: np.ndarray) -> dict[str, np.ndarray]:
    """What the tabular theory says of networks with these read-outs.

    Args:
      policy, success: `[..., patterns]`, π and p when RLVR starts.

    Returns:
      `[...]` each: log hitting times of π(r*) = .9 under the policy gradient and the natural gradient (infinite
      where the network no longer holds pattern 0 for the best), whether the start is entangled, −log π(r*); NaN
      for read-outs that are none.
    """
    shape = policy.shape[:-1]
    known = np.asarray(np.isfinite(policy + success).all(axis=-1))
    policy, success = (np.where(known[..., None], x, 1 / policy.shape[-1]) for x in (policy, success))
    policy = (policy / policy.sum(axis=-1, keepdims=True)).reshape(-1, policy.shape[-1])
    problems = Problem(jnp.log(policy), jnp.asarray(success.reshape(policy.shape)))
    best = np.asarray(problems.best) == 0
    out = {"entangled": np.asarray(jax.vmap(theory.regime)(problems).entangled) | ~best}
    for geometry in ("softmax", "natural"):
        log_times = partial(orbit.log_hitting_time, target=TARGET, algorithm=grpo(GROUP), geometry=geometry)
        out[geometry] = np.where(best, many(log_times)(problems), np.inf)
    out["rarity"] = -np.log(policy[:, 0])
    return {name: np.where(known, value.reshape(shape), np.nan) for name, value in out.items()}


def sound(data: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """The data of seeds whose read-outs are numbers in every run, and how many seeds are left out.

    Raises:
      ValueError: no such seed.
    """
    paths = [data[name] for name in ("policy", "success")]
    good = np.logical_and.reduce([np.isfinite(path).all(axis=(0, 1, 3, 4)) for path in paths])
    if not good.any():
        raise ValueError("policy: not a number in every seed; must be finite in one at least")
    kept = {name: value[:, :, good] if value.ndim > 2 else value for name, value in data.items()}
    return kept, int((~good).sum())


def whiskers(values: np.ndarray) -> tuple[float, float]:
    """Mean and half width of the interval over seeds as drawn: none around a single seed."""
    mean, half = interval(values)
    return mean, half if np.isfinite(half) else 0.0


def rank_correlation(
    predictor: np.ndarray, steps: np.ndarray, control: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Spearman's correlation over all runs, or its lead over that of a control; 0 where one is constant.

    Args:
      predictor, steps: `[conditions, seeds]`; infinite values rank last.
      control: another predictor.

    Returns:
      Correlation, or difference of correlations, and the ends of its 95 % interval from resampling seeds, infinite
      for a single seed.
    """

    def ranks(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
        drawn = np.moveaxis(values[:, columns], 0, -1).reshape(len(columns), -1)
        centred = stats.rankdata(drawn, axis=1)
        centred -= centred.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return centred / np.where(length > 0, length, 1.0)

    def lead(columns: np.ndarray) -> np.ndarray:
        last = ranks(steps, columns)
        found = (ranks(predictor, columns) * last).sum(axis=1)
        return found if control is None else found - (ranks(control, columns) * last).sum(axis=1)

    seeds = steps.shape[1]
    whole = float(lead(np.arange(seeds)[None])[0])
    if seeds < 2:
        return whole, -np.inf, np.inf
    drawn = np.random.default_rng(0).integers(0, seeds, (2000, seeds))
    low, high = np.percentile(lead(drawn), [2.5, 97.5])
    return whole, float(low), float(high)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Paths with fixed success rates; who arrives with learnt answers; tabular against network; total steps."""
    data, _ = sound(data)
    figure, axes = plot.new((8.8, 6.4), nrows=2, ncols=2)
    _paths(data, axes[0, 0])
    _arrivals(data, axes[0, 1])
    _ranks(data, axes[1, 0])
    _totals(data, axes[1, 1])
    return figure


def _colors() -> tuple[str, ...]:
    return plot.color("rlvr"), *SHADES


def _longest(data: Mapping[str, np.ndarray]) -> list[int]:
    """Conditions: no SFT, then each kind of data for the longest time."""
    lengths = (len(data["share"]) - 1) // len(DATA)
    return [0, *(lengths * (kind + 1) for kind in range(len(DATA)))]


def _paths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for case, color, label in zip(_longest(data), _colors(), ("no SFT", *DATA), strict=True):
        paths = data["policy"][0, case, :, :, 0]
        ax.plot(data["step"], paths.T, color=color, linewidth=0.6, alpha=0.35)
        ax.plot(data["step"], paths.mean(axis=0), color=color, label=label)
    ax.axhline(TARGET, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(
        xlabel=f"GRPO steps after {int(data['length'].max())} steps of SFT",
        ylabel="π(r*), each seed and mean",
        ylim=(0, 1.02),
    )
    ax.legend(loc="lower right", fontsize=8)
    speed = np.exp(_speed(data, _longest(data)[-1])[0])
    told = f"{speed:.1f} × faster" if speed > 1 else f"{1 / speed:.1f} × slower"
    ax.set_title(f"Success rates fixed: {told} after good SFT")


def _arrivals(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    lengths, place = (len(data["share"]) - 1) // len(DATA), np.arange(1 + len(DATA))
    groups = [[0], *(range(1 + lengths * kind, 1 + lengths * (kind + 1)) for kind in range(len(DATA)))]
    for i, (name, color, label) in enumerate(
        (("steps", plot.BEST, "π(r*) reaches .9"), ("accurate", "#444444", "accuracy reaches .9"))
    ):
        there = [np.isfinite(data[name][1, list(group)]).mean(axis=0) for group in groups]
        share, half = np.array([whiskers(x) for x in there]).T
        error = np.minimum(half, share), np.minimum(half, 1 - share)
        ax.bar(place + 0.4 * i - 0.2, share, 0.36, color=color, label=label, yerr=error, ecolor=plot.MUTED)
    ax.set_xticks(place, ["no SFT", "x₀/10", ".8 x₀", "good\nenough"])
    ax.set(xlabel="SFT data", ylabel="share of runs", ylim=(0, 1.28), yticks=[0, 0.5, 1])
    ax.legend(loc="upper left", ncols=2, fontsize=8)
    best, accurate = (np.isfinite(data[name][1]).mean() for name in ("steps", "accurate"))
    ax.set_title(f"Answers learnt: r* in {best:.0%} of runs, accurate {accurate:.0%}")


def _ranks(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    lost = 1.25 * STEPS
    for setting, color in ((0, plot.BEST), (1, plot.RIVAL)):
        steps = np.minimum(data["steps"][setting], lost)
        found, low, high = rank_correlation(data["softmax"][setting], data["steps"][setting])
        ax.plot(
            np.exp(data["softmax"][setting]).ravel(),
            steps.ravel() * (1.0 if setting else 1.04),
            "o",
            color=color,
            alpha=0.6,
            markersize=4,
            markeredgewidth=0,
            label=f"{data['settings'][setting]}: {found:.2f} ({low:.2f} … {high:.2f})",
        )
    ax.axhline(1.1 * STEPS, color=plot.MUTED, linewidth=0.8, linestyle=":")
    ax.text(0.02, 1.7 * STEPS, "never", transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="tabular time to π(r*) = .9 from π, p after SFT",
        ylabel="steps of the network",
    )
    ax.legend(loc="lower right", title="rank correlation (95 %)", title_fontsize=8, fontsize=8)
    ax.set_ylim(0.8, 2.2 * STEPS)
    ax.set_xticks([25, 50, 100], ["25", "50", "100"])
    ax.minorticks_off()
    lead, low, high = rank_correlation(data["softmax"][0], data["steps"][0], data["rarity"][0])
    told = "above" if low > 0 else "below" if high < 0 else "not above"
    ax.set_title(f"Tabular time {told} −log π(r*) in rank ({lead:+.3f})")


def _totals(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    lengths = (len(data["share"]) - 1) // len(DATA)
    none = _capped(data)[0, 0].mean()
    ax.axhline(none, color=plot.color("rlvr"), linestyle="--", linewidth=1.2, label="no SFT")
    for kind, (color, label) in enumerate(zip(SHADES, DATA, strict=True)):
        cases = slice(1 + lengths * kind, 1 + lengths * (kind + 1))
        length, total = data["length"][cases], _capped(data)[0, cases] + data["length"][cases][:, None]
        mean, half = np.array([whiskers(row) for row in total]).T
        nudged = length * 1.06 ** (kind - 1)
        ax.errorbar(nudged, mean, np.minimum(half, mean), color=color, marker="o", markersize=4, label=label)
    ax.set(xscale="log", xlabel="steps of SFT", ylabel="steps of SFT and GRPO to π(r*) = .9")
    ax.set_xticks(np.unique(data["length"][1:]), [str(n) for n in np.unique(data["length"][1:])])
    ax.minorticks_off()
    ax.set(ylim=(0, 2.6 * none), xlim=(length.min() / 1.4, length.max() * 1.4))
    ax.legend(loc="upper left", fontsize=8)
    best = min(range(1, len(data["share"])), key=lambda case: -_total(data, case)[0])
    gain, half = _total(data, best)
    open_ = " (open)" if abs(gain) <= half else ""
    ax.set_title(f"Total steps: without / with SFT at best {np.exp(gain):.1f}{open_}")


def _capped(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Steps of RLVR, those that do not arrive counted with all their steps."""
    return np.minimum(data["steps"], STEPS)


def _speed(data: Mapping[str, np.ndarray], case: int) -> tuple[float, float]:
    """Interval of log(steps without SFT / steps with it), success rates fixed, SGD."""
    steps = np.maximum(_capped(data)[0], 0.5)
    return interval(np.log(steps[0]) - np.log(steps[case]))


def _total(data: Mapping[str, np.ndarray], case: int) -> tuple[float, float]:
    """The same of all steps, those of SFT, too; wide enough for the best of all cases (Bonferroni)."""
    steps, cases = np.maximum(_capped(data)[0], 0.5), len(data["share"]) - 1
    mean, half = interval(np.log(steps[0]) - np.log(steps[case] + float(data["length"][case])))
    free = max(steps.shape[1] - 1, 1)
    return mean, half * float(stats.t.ppf(1 - 0.025 / cases, free) / stats.t.ppf(0.975, free))


def _ratio(found: tuple[float, float]) -> str:
    mean, half = found
    return f"{np.exp(mean):.2f} × ({np.exp(mean - half):.2f} … {np.exp(mean + half):.2f})"


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """The stall and its cure, the price, the size, the ranking, the threshold, the way to accuracy."""
    data, lost = sound(data)
    _, tenth, near, enough = _longest(data)
    seeds, longest = data["steps"].shape[2], int(data["length"].max())
    cure, cures = _speed(data, enough), [_speed(data, case) for case in (tenth, near)]
    cases = list(range(1, len(data["share"])))
    lengths = len(cases) // len(DATA)
    totals = [_total(data, case) for case in cases]
    best = int(np.argmax([mean for mean, _ in totals]))
    rows = [
        Verdict(
            "SFT on data above the threshold shortens RLVR of a network whose success rates stay put.",
            SOURCE,
            "steps without SFT / with it: interval above 1",
            f"{_ratio(cure)} after {longest} steps of SFT, {seeds} seeds; "
            f"{_lost(data, 0, [0])} without SFT and {_lost(data, 0, [enough])} with it never arrive",
            decided(cure[0] > cure[1], cure[0] <= -cure[1]),
        ),
        Verdict(
            "Data have to reach the threshold to shorten it.",
            "the converse, as one may read " + SOURCE,
            "below the threshold both intervals end at 1 or before; refuted by one above 1",
            f"{_ratio(cures[1])} with .8 of the share x₀ = {float(data['needed']):.3f}, {_ratio(cures[0])} with "
            "a tenth of it",
            decided(all(mean + half <= 0 for mean, half in cures), any(mean > half for mean, half in cures)),
        ),
        Verdict(
            "SFT first is cheaper in total steps of SFT and RLVR.",
            SOURCE + "; total as in the study sft-first",
            f"total without / with: interval above 1, corrected for {len(cases)} choices",
            f"best {_ratio(totals[best])}, {int(data['length'][cases[best]])} steps of SFT on data that are "
            f"{DATA[best // lengths]}",
            decided(totals[best][0] > totals[best][1], totals[best][0] <= -totals[best][1]),
        ),
        _size(data, enough),
        *(_ranking(data, world) for world in WORLDS),
        _sorted(data),
        _stay(data),
        _shortcut(data),
    ]
    told = f"; {lost} of {lost + seeds} seeds left out: no numbers" if lost else ""
    return [replace(row, measured=row.measured + told) for row in rows]


def _lost(data: Mapping[str, np.ndarray], setting: int, cases: list[int]) -> str:
    gone = ~np.isfinite(data["steps"][setting, cases])
    return f"{gone.sum()} of {gone.size}"


def _size(data: Mapping[str, np.ndarray], case: int) -> Verdict:
    """Seed by seed, measured against foretold; open where a run did not arrive."""
    steps = data["steps"][0][[0, case]]
    both = np.isfinite(steps).all(axis=0)
    claim = "The tabular policy gradient says by how much SFT shortens RLVR."
    source, predicted = "theory of this package: exact orbit from π, p after SFT", "measured / foretold"
    predicted += (
        ": 1 in the interval, which the natural gradient's misses; every seed arrives with and without"
    )
    if not both.any():
        return Verdict(claim, source, predicted, "no seed arrives both with and without SFT", decided(0, 0))
    measured = np.subtract(*np.log(np.maximum(steps[:, both], 0.5)))
    foretold = {name: np.subtract(*data[name][0][[0, case]][:, both]) for name in ("softmax", "natural")}
    off = {name: interval(measured - told) for name, told in foretold.items()}
    inside = {name: abs(mean) <= half for name, (mean, half) in off.items()}
    return Verdict(
        claim,
        source,
        predicted,
        f"{_ratio(interval(measured))} against {np.exp(foretold['softmax'].mean()):.2f} × (natural gradient "
        f"{np.exp(foretold['natural'].mean()):.2f} ×): measured / foretold {_ratio(off['softmax'])} (natural gradient "
        f"{_ratio(off['natural'])}), in the {both.sum()} of {both.size} seeds that arrive with and without, SGD at "
        f"one learning rate, {RATES['SGD']:g}, success rates fixed",
        decided(
            both.all() and inside["softmax"] and not inside["natural"], both.all() and not inside["softmax"]
        ),
    )


def _ranking(data: Mapping[str, np.ndarray], world: str) -> Verdict:
    parts, found, leads = [], [], []
    for setting, name in enumerate(data["settings"]):
        if str(name).startswith(world):
            steps, rarity = data["steps"][setting], data["rarity"][setting]
            all_found = {key: rank_correlation(data[key][setting], steps) for key in PREDICTORS}
            found.append(all_found["softmax"])
            leads.append(rank_correlation(data["softmax"][setting], steps, rarity))
            told = [f"{PREDICTORS[key]} {_ends(x)}" for key, x in all_found.items()]
            gone = _lost(data, setting, list(range(len(data["share"]))))
            parts.append(f"{name}: {'; '.join(told)}; lead {_ends(leads[-1], '+.3f')}; {gone} runs lost")
    ranks = all(low > 0.5 for _, low, _ in found)
    ahead = all(low > 0 for _, low, _ in leads)
    return Verdict(
        "The tabular hitting time, from π and p after SFT, ranks the steps of networks to π(r*) = .9, and better than "
        "−log π(r*)"
        + (", while success rates stay." if world == "coin" else ", where answers are learnt, too."),
        "theory of this package",
        "rank correlation: interval above ½, and that of its lead over −log π(r*) above 0",
        "; ".join(parts),
        ONLY_IF + "ranking as well as −log π(r*) is enough: no lead over it is shown"
        if ranks and not ahead
        else decided(ranks, any(high < 0.5 for *_, high in found)),
    )


def _ends(found: tuple[float, float, float], style: str = ".2f") -> str:
    mean, low, high = found
    return f"{mean:{style}} ({low:{style}} … {high:{style}})"


def _sorted(data: Mapping[str, np.ndarray]) -> Verdict:
    """Whether the regime after SFT sorts those that arrive from those that do not, answers learnt, SGD."""
    there, entangled = np.isfinite(data["steps"][1]), data["entangled"][1].astype(bool)
    ends, words = [], []
    for name, mask in (("fast", ~entangled), ("entangled", entangled)):
        some = mask.any(axis=0)
        share = (there & mask).sum(axis=0)[some] / mask.sum(axis=0)[some]
        ends.append(interval(share) if some.any() else (0.5, np.inf))
        told = f"{(there & mask).sum()} of {mask.sum()} {name} ones arrive"
        words.append(f"{told} ({ends[-1][0]:.2f} ± {ends[-1][1]:.2f} of a seed's, {some.sum()} seeds)")
    (fast, high), (slow, low) = ends
    return Verdict(
        "The regime after SFT sorts the runs that arrive at r* from those that never do, where answers are learnt.",
        SOURCE,
        "share of a seed's runs that arrive: fast above ½, entangled below; 95 % intervals over seeds",
        "; ".join(words) + ", SGD",
        decided(fast - high > 0.5 and slow + low < 0.5, fast + high < 0.5 or slow - low > 0.5),
    )


def _learnt(data: Mapping[str, np.ndarray]) -> list[int]:
    return [i for i, name in enumerate(data["settings"]) if str(name).startswith("learnt")]


def _stay(data: Mapping[str, np.ndarray]) -> Verdict:
    """Assumption 5.1 in a network whose answers can be learnt."""
    ends, parts = [], []
    for setting in _learnt(data):
        change = (data["success"][setting, ..., -1, :] - data["success"][setting, ..., 0, :]).mean(axis=0)
        found = [interval(column) for column in change.T]
        told = ", ".join(f"{mean:+.3f} ± {half:.3f}" for mean, half in found)
        parts.append(f"{data['settings'][setting]}: Δp {told}")
        ends += found
    return Verdict(
        "RLVR leaves the success rates of the patterns as they are (Assumption 5.1), where answers can be learnt.",
        "QRA-6; Chen, Li, Zou, arXiv 2506.04695",
        "Δp of each pattern, mean over a seed's runs: intervals within ±.02",
        "; ".join(parts),
        bounded(ends, 0.02),
    )


def _shortcut(data: Mapping[str, np.ndarray]) -> Verdict:
    learnt = _learnt(data)
    accurate, policy = np.isfinite(data["accurate"][learnt]), data["policy"][learnt]
    success = data["success"][learnt]
    without = accurate & (policy[..., -1, 0] < 0.5)
    overtaken = (success[..., -1, 1:].max(axis=-1) >= success[..., -1, 0])[without]
    start, end = success[..., 0, :].max(axis=-1), (policy * success).sum(axis=-1)[..., -1]
    mean, half = interval((end > start).mean(axis=(0, 1)))
    return Verdict(
        "RLVR gains accuracy by choosing the best pattern alone, where answers can be learnt.",
        "QRA-6; Chen, Li, Zou, arXiv 2506.04695",
        "share of runs that end above the highest success rate of their own start: none",
        f"{mean:.2f} ± {half:.2f} of a seed's runs end above it (mean {end.mean():.2f} against {start.mean():.2f}); "
        f"{accurate.sum()} of {accurate.size} reach accuracy .9, {without.sum()} of them with π(r*) < ½, where another "
        f"pattern has become as good in {overtaken.sum()}",
        decided(mean + half <= 0, mean > half),
    )
