"""Does SFT before RLVR remove the stall of a network, too, and does the tabular theory know how much is enough?

Claim QRA-5 (Chen, Li, Zou, arXiv 2506.04695 v1): SFT on good enough data removes the slow, entangled regime. In
the tabular model "good enough" is a share x₀ of demonstrations of the best pattern (theory.sft_mass_needed).

A weak decoder (the worked example with half its success rates: r* rare, start entangled, most answers wrong) is
tuned for some steps on (1 − x) π_ref + x e_{r*}, its answers as right as before, and then trained by GRPO. The
exact read-outs π, p after SFT go into the tabular orbit, whose hitting time is set against the network's steps to
π(r*) = .9. Two worlds: answers whose rightness is a coin with the pattern's success rate, which nothing can change
(the theory's assumption), and answers that are learnt along with the choice; SGD, the theory's optimiser, and Adam.

Statistics: t intervals (95 %) over seeds of log ratios of steps, runs that do not arrive counted with all their
steps; Spearman's rank correlation over all runs, these counted last, interval from 2000 resamplings of seeds;
Wilson intervals of shares of runs. An interval on both sides of its bound decides nothing: the verdict says so.

Control: no SFT from the same networks; data below the threshold; −log π(r*) after SFT as a predictor without any
dynamics.
"""

from collections.abc import Mapping
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
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict, wilson
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.reward import SequenceReward

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


def earned(success: Any, coin: Any) -> SequenceReward:
    """1 for a right answer, or, where `coin`, with the success rate of the pattern, whatever the answer."""

    def function(params: dict[str, Any], key: Array, rollouts: Any, seen: Any) -> Array:
        chance = params["success"][jnp.maximum(seen.pattern, 0)]
        lucky = jax.random.uniform(key, chance.shape) < chance
        right = jnp.where(params["coin"], lucky, seen.right) & seen.formatted
        return right.astype(rollouts.log_prob.dtype)

    return SequenceReward("right or lucky", function, {"success": success, "coin": coin})


def optimizer(adam: Any) -> Any:
    """SGD, or Adam where `adam`, as one program."""

    def make(rate: Any) -> optax.GradientTransformation:
        scaled = optax.scale_by_adam()

        def update(updates: Any, state: Any, params: Any = None) -> Any:
            change, state = scaled.update(updates, state, params)
            pick = lambda c, g: -jnp.where(adam, c, g) * jnp.asarray(rate, g.dtype)  # noqa: E731
            return jax.tree.map(pick, change, updates), state

        return optax.GradientTransformation(scaled.init, update)

    return make


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Networks with and without SFT, trained in each world; tabular hitting times from their read-outs."""
    problem, number = weak(), 2 if quick else 8
    task = transformer.controlled(stack([problem] * QUESTIONS), digits=1)
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=DEPTH)
    keys = jax.random.split(jax.random.key(seed), number)
    base = transformer.learn(
        keys, model, task.demonstrations, steps=PRETRAINING, questions=QUESTIONS, keep=True
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
            task,
            algorithm=grpo(GROUP),
            steps=STEPS,
            questions=QUESTIONS,
            learning_rate=jnp.where(adam, RATES["Adam"], RATES["SGD"]),
            optimizer=optimizer(adam),
            reward=earned(problem.success, coin),
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
      where the network no longer holds pattern 0 for the best), whether the start is entangled, −log π(r*).
    """
    shape = policy.shape[:-1]
    policy = (policy / policy.sum(axis=-1, keepdims=True)).reshape(-1, policy.shape[-1])
    problems = Problem(jnp.log(policy), jnp.asarray(success.reshape(policy.shape)))
    best = np.asarray(problems.best) == 0
    out = {"entangled": np.asarray(jax.vmap(theory.regime)(problems).entangled) | ~best}
    for metric in ("softmax", "natural"):
        hit = orbit.hit_batch(problems, TARGET, algorithm=grpo(GROUP), metric=metric)
        out[metric] = np.where(best, hit.log_time, np.inf)
    out["rarity"] = -np.log(policy[:, 0])
    return {name: value.reshape(shape) for name, value in out.items()}


def interval(values: np.ndarray, tests: int = 1) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % t interval, wide enough for the best of several `tests`.

    >>> [round(x, 2) for x in interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.48, 4.48]
    """
    half = stats.t.ppf(1 - 0.025 / tests, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    mean = float(np.mean(values))
    return mean, mean - float(half), mean + float(half)


def rank_correlation(predictor: np.ndarray, steps: np.ndarray) -> tuple[float, float, float]:
    """Spearman's correlation over all runs, with a 95 % interval from resampling seeds; 0 where one is constant.

    Args:
      predictor, steps: `[conditions, seeds]`; infinite values rank last.

    Returns:
      Correlation, and the ends of its interval.
    """

    def one(columns: np.ndarray) -> float:
        ranks = [stats.rankdata(x[:, columns]) for x in (predictor, steps)]
        moves = all(np.ptp(rank) > 0 for rank in ranks)
        return float(np.corrcoef(*ranks)[0, 1]) if moves else 0.0

    seeds = steps.shape[1]
    drawn = np.random.default_rng(0).integers(0, seeds, (2000, seeds))
    low, high = np.percentile([one(columns) for columns in drawn], [2.5, 97.5])
    return one(np.arange(seeds)), float(low), float(high)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Paths with fixed success rates; who arrives with learnt answers; tabular against network; total steps."""
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
    speed, *_ = _speed(data, _longest(data)[-1])
    ax.set_title(f"Success rates fixed: {np.exp(speed):.1f} × faster after good SFT")


def _arrivals(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    lengths, place = (len(data["share"]) - 1) // len(DATA), np.arange(1 + len(DATA))
    groups = [[0], *(range(1 + lengths * kind, 1 + lengths * (kind + 1)) for kind in range(len(DATA)))]
    for i, (name, color, label) in enumerate(
        (("steps", plot.BEST, "π(r*) reaches .9"), ("accurate", "#444444", "accuracy reaches .9"))
    ):
        there = [np.isfinite(data[name][1, list(group)]).ravel() for group in groups]
        share = np.array([x.mean() for x in there])
        ends = np.array([wilson(x.sum(), x.size) for x in there])
        error = np.abs(ends - share[:, None]).T
        ax.bar(place + 0.4 * i - 0.2, share, 0.36, color=color, label=label, yerr=error, ecolor=plot.MUTED)
    ax.set_xticks(place, ["no SFT", "x₀/10", ".8 x₀", "good\nenough"])
    ax.set(xlabel="SFT data", ylabel="share of runs", ylim=(0, 1.28), yticks=[0, 0.5, 1])
    ax.legend(loc="upper left", ncols=2, fontsize=8)
    ax.set_title("Answers learnt: accurate with or without r*")


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
    ax.set_title("The tabular time orders the network's runs")


def _totals(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    lengths = (len(data["share"]) - 1) // len(DATA)
    none = _capped(data)[0, 0].mean()
    ax.axhline(none, color=plot.color("rlvr"), linestyle="--", linewidth=1.2, label="no SFT")
    for kind, (color, label) in enumerate(zip(SHADES, DATA, strict=True)):
        cases = slice(1 + lengths * kind, 1 + lengths * (kind + 1))
        length, total = data["length"][cases], _capped(data)[0, cases] + data["length"][cases][:, None]
        mean, low, high = np.array([interval(row) for row in total]).T
        nudged = length * 1.06 ** (kind - 1)
        ax.errorbar(
            nudged, mean, (mean - low, high - mean), color=color, marker="o", markersize=4, label=label
        )
    ax.set(xscale="log", xlabel="steps of SFT", ylabel="steps of SFT and GRPO to π(r*) = .9")
    ax.set_xticks(np.unique(data["length"][1:]), [str(n) for n in np.unique(data["length"][1:])])
    ax.minorticks_off()
    ax.set(ylim=(0, 2.6 * none), xlim=(length.min() / 1.4, length.max() * 1.4))
    ax.legend(loc="upper left", fontsize=8)
    ax.set_title("Total steps: SFT pays if it is short")


def _capped(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Steps of RLVR, those that do not arrive counted with all their steps."""
    return np.minimum(data["steps"], STEPS)


def _speed(data: Mapping[str, np.ndarray], case: int, tests: int = 1, extra: float = 0.0) -> Any:
    """Interval of log(steps without SFT / steps with it), success rates fixed, SGD."""
    steps = np.maximum(_capped(data)[0], 0.5)
    return interval(np.log(steps[0]) - np.log(steps[case] + extra), tests)


def _ratio(found: Any) -> str:
    mean, low, high = np.exp(found)
    return f"{mean:.2f} × ({low:.2f} … {high:.2f})"


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """The stall and its cure, the price, the size, the ranking, the threshold, the way to accuracy."""
    _, tenth, near, enough = _longest(data)
    seeds, longest = data["steps"].shape[2], int(data["length"].max())
    cure, cures = _speed(data, enough), [_speed(data, case) for case in (tenth, near)]
    cases = list(range(1, len(data["share"])))
    lengths = len(cases) // len(DATA)
    cheapest = [_speed(data, case, len(cases), float(data["length"][case])) for case in cases]
    best = int(np.argmax([found[0] for found in cheapest]))
    return [
        Verdict(
            "SFT on data above the threshold shortens RLVR of a network whose success rates stay put.",
            SOURCE,
            "steps without SFT / with it: interval above 1",
            f"{_ratio(cure)} after {longest} steps of SFT, {seeds} seeds; "
            f"{_lost(data, 0, [0])} without SFT and {_lost(data, 0, [enough])} with it never arrive",
            decided(cure[1] > 0, cure[2] <= 0),
        ),
        Verdict(
            "Data have to reach the threshold to shorten it.",
            "the converse, as one may read " + SOURCE,
            "no interval above 1 below the threshold",
            f"{_ratio(cures[1])} with .8 of the share x₀ = {float(data['needed']):.3f}, {_ratio(cures[0])} with "
            "a tenth of it",
            decided(all(found[2] <= 0 for found in cures), any(found[1] > 0 for found in cures)),
        ),
        Verdict(
            "SFT first is cheaper in total steps of SFT and RLVR.",
            SOURCE + "; total as in the study sft-first",
            f"total without / with: interval above 1, corrected for {len(cases)} choices",
            f"best {_ratio(cheapest[best])}, {int(data['length'][cases[best]])} steps of SFT on data that are "
            f"{DATA[best // lengths]}",
            decided(cheapest[best][1] > 0, cheapest[best][2] <= 0),
        ),
        _size(data, enough),
        *(_ranking(data, world) for world in WORLDS),
        _sorted(data),
        _shortcut(data),
    ]


def decided(holds: Any, fails: Any) -> str:
    """A verdict of three: where neither is shown, there are too few runs to tell."""
    return HOLDS if holds else FAILS if fails else ONLY_IF + "more runs say so: these do not tell"


def _lost(data: Mapping[str, np.ndarray], setting: int, cases: list[int]) -> str:
    gone = ~np.isfinite(data["steps"][setting, cases])
    return f"{gone.sum()} of {gone.size}"


def _size(data: Mapping[str, np.ndarray], case: int) -> Verdict:
    measured = _speed(data, case)
    foretold = {name: (data[name][0, 0] - data[name][0, case]).mean() for name in ("softmax", "natural")}
    within = {name: measured[1] <= value <= measured[2] for name, value in foretold.items()}
    return Verdict(
        "The tabular policy gradient says by how much SFT shortens RLVR.",
        "theory of this package: exact orbit from π, p after SFT",
        f"{np.exp(foretold['softmax']):.2f} × (natural gradient {np.exp(foretold['natural']):.2f} ×)",
        f"{_ratio(measured)}, SGD, success rates fixed; natural gradient "
        f"{'inside' if within['natural'] else 'outside'} the interval",
        decided(within["softmax"] and not within["natural"], not within["softmax"]),
    )


def _ranking(data: Mapping[str, np.ndarray], world: str) -> Verdict:
    parts, ends = [], np.zeros((0, 3))
    for setting, name in enumerate(data["settings"]):
        if str(name).startswith(world):
            found = {key: rank_correlation(data[key][setting], data["steps"][setting]) for key in PREDICTORS}
            ends = np.vstack([ends, found["softmax"]])
            told = "; ".join(
                f"{PREDICTORS[key]} {x[0]:.2f} ({x[1]:.2f} … {x[2]:.2f})" for key, x in found.items()
            )
            parts.append(f"{name}: {told}, {_lost(data, setting, list(range(len(data['share']))))} runs lost")
    return Verdict(
        "The tabular hitting time, from π and p after SFT, ranks the steps of networks to π(r*) = .9"
        + (" while success rates stay." if world == "coin" else " where answers are learnt, too."),
        "theory of this package",
        "rank correlation: interval above ½",
        "; ".join(parts),
        decided(ends[:, 1].min() > 0.5, ends[:, 2].min() < 0.5),
    )


def _sorted(data: Mapping[str, np.ndarray]) -> Verdict:
    """Whether the regime after SFT sorts those that arrive from those that do not, answers learnt, SGD."""
    there, entangled = np.isfinite(data["steps"][1]), data["entangled"][1].astype(bool)
    counts = [(int(there[mask].sum()), int(mask.sum())) for mask in (~entangled, entangled)]
    if min(total for _, total in counts) == 0:
        fast, slow = (0.0, 1.0), (0.0, 1.0)
    else:
        fast, slow = (wilson(*pair) for pair in counts)
    words = [f"{count} of {total}" for count, total in counts]
    return Verdict(
        "The regime after SFT sorts the runs that arrive at r* from those that never do, where answers are learnt.",
        SOURCE,
        "fast: more than half arrive; entangled: fewer than half; 95 % intervals",
        f"{words[0]} ({fast[0]:.2f} … {fast[1]:.2f}) fast and {words[1]} ({slow[0]:.2f} … {slow[1]:.2f}) entangled "
        "ones arrive, SGD",
        decided(fast[0] > 0.5 and slow[1] < 0.5, fast[1] < 0.5 or slow[0] > 0.5),
    )


def _shortcut(data: Mapping[str, np.ndarray]) -> Verdict:
    learnt = [i for i, name in enumerate(data["settings"]) if str(name).startswith("learnt")]
    accurate, last = np.isfinite(data["accurate"][learnt]), data["policy"][learnt][..., -1, 0]
    success = data["success"][learnt][..., -1, :]
    without = accurate & (last < 0.5)
    overtaken = (success[..., 1:].max(axis=-1) >= success[..., 0])[without]
    start = data["success"][learnt][..., 0, :].max()
    end = (data["policy"][learnt][..., -1, :] * success).sum(axis=-1)
    return Verdict(
        "RLVR gains accuracy by choosing the best pattern (success rates stay put, Assumption 5.1).",
        "QRA-6; Chen, Li, Zou, arXiv 2506.04695",
        f"no run above the highest success rate of the start, {start:.2f}",
        f"{accurate.sum()} of {accurate.size} runs with learnt answers reach accuracy .9 (mean at the end "
        f"{end.mean():.2f}), {without.sum()} of them with π(r*) < ½, where another pattern has become as good in "
        f"{overtaken.sum()}",
        verdict(not accurate.any()),
    )
