r"""Is GRPO filtered supervised fine-tuning, and where do the two part?

Claims RINO-1 to RINO-3 (Samineni et al., arXiv 2505.13697): with the reward spread evenly over tokens GRPO is
outcome-weighted supervised learning, its on-policy gradient that of filtered iterative SFT; filtered SFT with
positives and negatives (F-ISFT±) matches GRPO; dividing by the length |o| makes wrong answers longer.

*Identity.* Weights of ±√((1 − ρ̂)/ρ̂) for right and wrong rollouts make F-ISFT± GRPO itself, group by group. All
other weights have the same mean direction c(ρ) π⊙(p − ρ), with their own clock and their own noise. So one group's
gradients coincide only if weights are centred alike; and the expected paths part as soon as something else than the
reward has a speed (KL), rollouts get old (several epochs), or questions of different ρ share parameters. Adam
divides a constant speed out again.

*Length.* A response that stops after each token with probability s = σ(a) has length L ~ Geom(s) and
∂ log P/∂a = 1 − sL. If the reward is independent of L, weights A_i ν(L_i) have the mean gradient

$$ E[A]\;E[\nu(L)(1-sL)],\qquad E[1-sL]=0,\qquad E\bigl[\tfrac{1-sL}{L}\bigr]
   = s\Bigl(\tfrac{-\ln s}{1-s}-1\Bigr) > 0. $$

So a constant ν gives no drift whatever the weights. With ν = 1/L there is none iff E[A] = 0 (centred weights);
uncentred ones drift to shorter responses if E[A] > 0, to longer ones if E[A] < 0, for unit ± if more than half
are wrong. Where the stop may depend on whether the answer is wrong (a parameter for each class), 1/L makes wrong
answers longer and right ones shorter for every rule that punishes the first and rewards the second, centred or
not. Division by the tokens of the whole group is in between: no drift for centred weights, and for others
E[A](G E[1/ΣL] − s), of order 1/G.

Controls: {1/|o|, 1/Σ|o|, constant} × {centred, uncentred}, closed forms against Monte Carlo; equal samples, and a
learning rate tuned for each rule on other draws than it is judged on.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import Algorithm, filtered_sft, grpo, switch
from qra_jax.batching import many
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, examples, stack
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict
from qra_jax.theory import class_weights, stop_drift
from qra_jax.training import train

TITLE = "RL in name only: GRPO is filtered SFT on average, until anything else keeps time"
SOURCES = {
    1: "RINO-1; Samineni et al., arXiv 2505.13697",
    2: "RINO-2; Samineni et al., arXiv 2505.13697",
    3: "RINO-3; Samineni et al., arXiv 2505.13697",
}
GROUP = 8
SIZES = (8, 32, 128)
"""Group sizes of the single gradients."""


def grpo_weighted_sft(group_size: int) -> Algorithm:
    r"""Filtered SFT on positives and negatives with weights $\sqrt{(1-\hat\rho)/\hat\rho}$ and
    $-\sqrt{\hat\rho/(1-\hat\rho)}$, ρ̂ the share of right rollouts; nothing from silent groups.

    Args:
      group_size: G ≥ 2.

    Returns:
      An `Algorithm`; its weights are those of GRPO.
    """

    return Algorithm("filtered SFT± (GRPO weights)", _odds, group_size)


def _odds(params: dict[str, Any], rewards: Array, where: Array | None) -> Array:
    share = jnp.mean(rewards, where=where)
    silent = (share <= 0) | (share >= 1)
    odds = jnp.where(silent, 1.0, share) / jnp.where(silent, 1.0, 1 - share)
    weights = rewards / jnp.sqrt(odds) - (1 - rewards) * jnp.sqrt(odds)
    return jnp.where(silent, 0.0, weights)


RULES: dict[str, Algorithm] = {
    "GRPO": grpo(GROUP),
    "±, GRPO weights": grpo_weighted_sft(GROUP),
    "± (unit weights)": filtered_sft("both", group_size=GROUP),
    "positives only": filtered_sft("positive", group_size=GROUP),
    "negatives only": filtered_sft("negative", group_size=GROUP),
}
CENTRED = ("GRPO", "±, GRPO weights")
COLORS = dict(
    zip(
        RULES,
        [plot.color(n) for n in ("GRPO", "GRPO", "filtered SFT±", "filtered SFT⁺", "filtered SFT⁻")],
        strict=True,
    )
)
CONDITIONS: dict[str, dict[str, Any]] = {
    "on policy": {},
    "8 epochs": {"off_policy": OffPolicy("none", epochs=8)},
    "KL": {"regularizers": [reverse_kl(0.5)]},
    "Adam": {"optimizer": optax.adam, "learning_rate": 0.02},
    "shared": {"shared": True},
}
RATE, STEPS, RECORDS = 0.5, 1000, 200
PARTED = 0.01
"""Largest difference in a share beyond which two paths have parted; the error of the discrete steps is below."""
EPOCHS: dict[str, dict[str, Any]] = {
    "one epoch": {},
    "four epochs": {"off_policy": OffPolicy("none", epochs=4)},
}
"""Gradient steps on the same rollouts, as supervised learning would take them: without ratios."""
SAMPLED_STEPS = 200
RATES = np.array([0.03, 0.1, 0.3, 1.0, 3.0])
LEVELS = {"middling": (1.0, 1.0), "hard": (0.15, 1.2)}
"""Success rates Beta(a, b) of the two populations; mean base accuracy ½ and 1/9."""
MATCH = 0.055
"""Largest difference that the claim calls a match: 71.4 − 65.9 per cent."""
STOP, SHARES = 0.05, (0.2, 0.5, 0.8)
"""Stop probability (mean length 20), and accuracies ρ of the length model."""
NORMS = {"1/|o|": "length", "1/Σ|o|": "tokens", "constant": "constant"}
"""Factors of the gradient, and what the theory calls them."""
RUNS = {
    "GRPO, 1/|o|, own stop": ("GRPO", "1/|o|", True),
    "GRPO, constant, own stop": ("GRPO", "constant", True),
    "GRPO, 1/|o|, one stop": ("GRPO", "1/|o|", False),
    "negatives, 1/|o|, one stop": ("negatives only", "1/|o|", False),
    "positives, 1/|o|, one stop": ("positives only", "1/|o|", False),
    "negatives, constant, one stop": ("negatives only", "constant", False),
}
"""Sampled training of the stop: rule, norm, and whether wrong and right answers have a parameter each."""
LENGTH_STEPS, GROUPS = 200, 128
Z = 4.5
"""Bound on z-scores; among 135 independent ones the largest is above with probability 1e-3."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Gradients, paths, tuned accuracies and the length model."""
    rng = np.random.default_rng(seed)
    parts = {
        **_gradients(rng, 40 if quick else 400),
        **_paths(),
        **_tuned(rng, 80 if quick else 1024),
        **_length_moments(rng, 40_000 if quick else 400_000),
        **_length_runs(rng),
    }
    return {name: np.asarray(value) for name, value in parts.items()}


def _draw(rng: np.random.Generator, questions: int, patterns: int, success: tuple[float, float]) -> Problem:
    """Stacked questions: Dirichlet(1) policies, Beta success rates."""
    ref = rng.dirichlet(np.ones(patterns), questions)
    return Problem(jnp.log(ref), jnp.asarray(rng.beta(*success, (questions, patterns))))


def _gradients(rng: np.random.Generator, draws: int) -> dict[str, Any]:
    """Cosines with GRPO's gradient: of the exact means, and of single groups of several sizes."""
    problems = _draw(rng, 50, 5, (1.0, 1.0))

    def mean(problem: Problem, which: Array) -> Array:
        key = jax.random.key(0)  # not used by exact means
        run = train(
            key, problem, steps=1, algorithm=switch(which, RULES.values()), learning_rate=1e-3, mode="mean"
        )
        change = run.log_policy[-1] - run.log_policy[0]
        return (change - jnp.mean(change)) / 1e-3

    means = jax.jit(jax.vmap(jax.vmap(mean, (None, 0)), (0, None)))(problems, jnp.arange(len(RULES)))
    data = {"cosine/mean": _cosine(np.asarray(means), np.asarray(means)[:, :1])}
    ref, success = np.asarray(problems.ref), np.asarray(problems.success)
    for size in SIZES:
        ladder = np.cumsum(ref, axis=1)[:, None, None, :-1]
        pattern = np.sum(rng.random((50, draws, size, 1)) > ladder, axis=-1)
        rate = np.take_along_axis(success, pattern.reshape(50, -1), axis=1).reshape(pattern.shape)
        rewards = (rng.random(rate.shape) < rate).astype(float)
        score = np.eye(5)[pattern] - ref[:, None, None]
        found = np.stack(
            [np.einsum("qdg,qdgr->qdr", _weigh(name, rewards), score) / size for name in RULES], axis=2
        )
        # Silent groups have no direction; nor have those with one pattern, but for rounding.
        kept = (np.linalg.norm(found, axis=-1).min(axis=-1) > 1e-9).ravel()
        data[f"cosine/{size}"] = _cosine(*np.broadcast_arrays(found, found[:, :, :1])).reshape(
            -1, len(RULES)
        )[kept]
    return data


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.where(norms > 0, norms, np.inf)


def _paths() -> dict[str, Any]:
    """Largest distance of every rule's expected path from GRPO's, whatever the speed, on three questions."""
    cold = Problem.from_probs(ref=[0.01, 0.19, 0.8], success=[1.0, 0.3, 0.01])
    problem = stack([examples.worked(), examples.fast(), cold])
    features = jax.random.normal(jax.random.key(5), (3, 3, 4)) / 2
    data = {}
    for name, condition in CONDITIONS.items():
        options = {"learning_rate": RATE, **condition}
        if options.pop("shared", False):
            options["features"] = features

        def run(which: Array, options: Any = options) -> Array:
            path = train(
                jax.random.key(0),
                problem,
                steps=4 * STEPS,
                record_every=STEPS // RECORDS,
                algorithm=switch(which, RULES.values()),
                mode="mean",
                **options,
            ).policy
            if "features" in options:  # the questions move as one point
                path = jnp.concatenate(list(path), axis=-1)[None]
            return path

        paths = np.asarray(jax.jit(jax.vmap(run))(jnp.arange(len(RULES))))
        # A quarter of each path against GRPO's whole one, which slower clocks do not outrun.
        apart = [path_distance(path[:, : RECORDS + 1], paths[0]) for path in paths]
        if name == "KL":  # all have come to rest: where they do counts, too
            rest = np.abs(paths[:, :, -1] - paths[0, :, -1]).max(axis=(1, 2))
            apart = np.maximum(apart, rest)
            data["path/unrest"] = np.abs(paths[:, :, -1] - paths[:, :, -RECORDS]).max()
        data[f"path/{name}"] = np.array(apart)
    return data


def path_distance(path: np.ndarray, reference: np.ndarray) -> float:
    """Largest distance of a path's points from a reference path, as the largest difference in any share.

    Args:
      path: `[questions, times, shares]`; each question is on its own.
      reference: `[questions, times, shares]`, joined by straight lines.

    Returns:
      The distance, to the nearest point in the Euclidean sense.
    """
    worst = 0.0
    for points, line in zip(path, reference, strict=True):
        a, d = line[:-1], np.diff(line, axis=0)
        part = np.einsum("ptk,tk->pt", points[:, None] - a, d) / np.maximum(np.sum(d * d, axis=-1), 1e-300)
        gaps = points[:, None] - (a + np.clip(part, 0, 1)[..., None] * d)
        nearest = np.argmin(np.sum(gaps**2, axis=-1), axis=1)
        worst = max(worst, float(np.abs(gaps[np.arange(len(points)), nearest]).max()))
    return worst


def _tuned(rng: np.random.Generator, questions: int) -> dict[str, Any]:
    """Mean accuracies after training on equal samples, at the rate that is best on other draws."""
    populations = {level: _draw(rng, 2 * questions, 6, success) for level, success in LEVELS.items()}
    keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), 2 * questions)
    grid = np.meshgrid(np.arange(len(RULES)), RATES, np.arange(2 * questions), indexing="ij")
    which, index = grid[0].ravel(), grid[2].ravel()
    data: dict[str, Any] = {}
    for name, options in EPOCHS.items():

        def one(key: Array, problem: Problem, which: Array, rate: Array, options: Any = options) -> Array:
            length = {"steps": SAMPLED_STEPS, "record_every": SAMPLED_STEPS}
            algorithm = switch(which, RULES.values())
            run = train(key, problem, algorithm=algorithm, learning_rate=rate, **length, **options)
            return run.accuracy[-1]

        runs = many(one, block=256)
        for level, problems in populations.items():
            chosen = jax.tree.map(lambda leaf: leaf[index], problems)
            found = np.asarray(runs(keys[index], chosen, which, grid[1].ravel()))
            found = found.reshape(len(RULES), len(RATES), 2, questions)
            best = found[:, :, 0].mean(axis=-1).argmax(axis=1)
            data[f"tuned/{level}/base"] = problems.accuracy_ref[questions:]
            data[f"tuned/{level}/{name}"] = found[np.arange(len(RULES)), best, 1]
            data[f"tuned/{level}/{name}/rates"] = found[:, :, 1].mean(axis=-1)
    return data


# The length model.


def _rollouts(rng: np.random.Generator, groups: int, accuracy: float, stops: Any) -> tuple[Any, Any]:
    """Rewards and lengths `[groups, GROUP]`; `stops` for wrong and right answers."""
    rewards = (rng.random((groups, GROUP)) < accuracy).astype(float)
    lengths = rng.geometric(np.where(rewards > 0, stops[1], stops[0]))
    return rewards, lengths


def _normalised(lengths: np.ndarray, norm: str) -> np.ndarray:
    if norm == "constant":
        return np.ones(lengths.shape)
    if norm == "1/|o|":
        return 1 / lengths
    return GROUP / lengths.sum(axis=1, keepdims=True) * np.ones(lengths.shape)


@lru_cache
def _table(name: str, group: int = GROUP) -> np.ndarray:
    """Weights of groups with k = 0 … G right rollouts, right ones first, `[G + 1, G]`."""
    rows = jnp.asarray(np.tri(group + 1, group, -1))
    return np.asarray(jax.jit(jax.vmap(lambda row: RULES[name].weights(row)))(rows))


def _weigh(name: str, rewards: np.ndarray) -> np.ndarray:
    """Weights `[..., group]`, looked up by the number of right rollouts."""
    table = _table(name, rewards.shape[-1])
    k = rewards.sum(axis=-1, keepdims=True).astype(int)
    return np.where(rewards > 0, table[k, 0], table[k, -1])


def _length_moments(rng: np.random.Generator, groups: int) -> dict[str, Any]:
    """Gradient of the stop logit: mean and error by Monte Carlo, closed form; for all, wrong and right answers."""
    shape = (len(SHARES), len(RULES), len(NORMS), 3)
    measured, error, exact = (np.zeros(shape) for _ in range(3))
    for i, accuracy in enumerate(SHARES):
        rewards, lengths = _rollouts(rng, groups, accuracy, (STOP, STOP))
        for j, rule in enumerate(RULES):
            weights, sides = _weigh(rule, rewards), class_weights(RULES[rule], accuracy)
            for m, norm in enumerate(NORMS):
                gradient = weights * _normalised(lengths, norm) * (1 - STOP * lengths)
                drift = float(stop_drift(STOP, NORMS[norm], group_size=GROUP))
                for c, (mask, side) in enumerate(
                    [(1.0, sum(sides)), (1 - rewards, sides[1]), (rewards, sides[0])]
                ):
                    each = (gradient * mask).mean(axis=1)
                    measured[i, j, m, c] = each.mean()
                    error[i, j, m, c] = each.std(ddof=1) / np.sqrt(groups)
                    exact[i, j, m, c] = side * drift
    return {"length/measured": measured, "length/error": error, "length/exact": exact}


def _length_runs(rng: np.random.Generator) -> dict[str, Any]:
    """Mean lengths of wrong and right answers in sampled training at ρ = ½: `[steps + 1, 2]` for each run."""
    data = {}
    for name, (rule, norm, own) in RUNS.items():
        # The same scale for both norms: a constant is 1/L at the starting length.
        rate = 0.04 / float(stop_drift(STOP, "length")) * (STOP if norm == "constant" else 1.0)
        logit = np.full(2, np.log(STOP / (1 - STOP)))
        run = np.zeros((LENGTH_STEPS + 1, 2))
        for step in range(LENGTH_STEPS + 1):
            stops = 1 / (1 + np.exp(-logit))
            run[step] = 1 / stops
            rewards, lengths = _rollouts(rng, GROUPS, 0.5, stops)
            score = 1 - np.where(rewards > 0, stops[1], stops[0]) * lengths
            gradient = _weigh(rule, rewards) * _normalised(lengths, norm) * score
            both = np.array([(gradient * (1 - rewards)).mean(), (gradient * rewards).mean()])
            logit = logit + rate * (both if own else both.sum())
        data[f"length/{name}"] = run
    return data


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Cosines, distances between paths, tuned accuracies, lengths."""
    figure, axes = plot.new((10.2, 6.8), nrows=2, ncols=2)
    _cosines(data, axes[0, 0])
    _distances(data, axes[0, 1])
    _accuracies(data, axes[1, 0])
    _lengths(data, axes[1, 1])
    return figure


def _cosines(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    sizes = SIZES
    for j, name in enumerate(RULES):
        if name in CENTRED:
            continue
        middle = [np.median(data[f"cosine/{size}"][:, j]) for size in sizes]
        low, high = (np.array([np.quantile(data[f"cosine/{s}"][:, j], q) for s in sizes]) for q in (0.1, 0.9))
        ax.plot(sizes, middle, "o-", color=COLORS[name], label=name)
        ax.fill_between(sizes, low, high, color=COLORS[name], alpha=0.15, linewidth=0)
    ax.plot(sizes, np.ones(3), color=plot.color("GRPO"), label="±, GRPO weights; every mean")
    ax.set(
        xscale="log", xlabel="rollouts in the group", ylabel="cosine with GRPO's gradient", ylim=(-0.6, 1.05)
    )
    ax.set_xticks(sizes, [str(s) for s in sizes])
    ax.minorticks_off()
    ax.legend(fontsize=8, loc="lower right")
    ax.set_title("One group's gradients differ, their means do not")


def _distances(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    names = [name for name in RULES if name != "GRPO"]
    table = np.stack([data[f"path/{name}"][1:] for name in CONDITIONS], axis=1)
    ax.imshow(np.log10(np.maximum(table, 1e-5)), cmap="Greens", vmin=-5, vmax=0, aspect="auto")
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            value = table[i, j]
            text = (
                "0"
                if value < 1e-9
                else f"{value:.0e}".replace("e-0", "e−")
                if value < 0.01
                else f"{value:.2f}"
            )
            ax.text(
                j, i, text, ha="center", va="center", fontsize=9, color="white" if value > 0.05 else "black"
            )
    ax.set_xticks(range(len(CONDITIONS)), [*CONDITIONS])
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.set_title("Where the paths part: distance from GRPO's")


def _accuracies(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    columns = [(level, name) for level in LEVELS for name in ("one epoch", "four epochs")]
    shown = [name for name in RULES if name != "±, GRPO weights"]
    width = 0.8 / len(shown)
    for i, name in enumerate(shown):
        values = [data[f"tuned/{level}/{epochs}"][[*RULES].index(name)] for level, epochs in columns]
        ax.bar(
            np.arange(len(columns)) + (i - (len(shown) - 1) / 2) * width,
            [v.mean() for v in values],
            width,
            yerr=[1.96 * v.std(ddof=1) / np.sqrt(v.size) for v in values],
            color=COLORS[name],
            error_kw={"linewidth": 0.8},
            label=name,
        )
    for i, (level, _) in enumerate(columns):
        base = data[f"tuned/{level}/base"].mean()
        ax.plot(
            [i - 0.45, i + 0.45], [base, base], color="black", linestyle=":", label="base" if i == 0 else None
        )
    ax.set_xticks(range(len(columns)), [f"{level},\n{epochs}" for level, epochs in columns])
    ax.set(ylabel="accuracy after tuned training", ylim=(0, 1.22))
    ax.legend(fontsize=8, ncols=3, loc="upper center")
    ax.set_title("Equal samples: on questions apart all match")


def _lengths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for name, (rule, norm, own) in RUNS.items():
        if own and norm == "constant":
            continue
        run, dashes = data[f"length/{name}"], ":" if norm == "constant" else "-"
        if own:
            ax.plot(run[:, 0], color=COLORS[rule], linewidth=2, label=f"{name}: wrong")
            ax.plot(run[:, 1], "--", color=COLORS[rule], linewidth=2, label=f"{name}: right")
        else:
            color = "black" if rule == "GRPO" else COLORS[rule]
            ax.plot(run[:, 0], dashes, color=color, label=name)
    ax.set(yscale="log", xlabel="step", ylabel="mean length", ylim=(1, 900))
    ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.minorticks_off()
    ax.legend(fontsize=7.5, loc="upper left", ncols=2)
    ax.set_title("1/|o| lengthens what is punished")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Identities to rounding, paths by PARTED, accuracies by MATCH, lengths by z-scores."""
    names = [*RULES]
    unit = [names.index(name) for name in RULES if name not in CENTRED]
    sampled = data[f"cosine/{GROUP}"]
    mean_gap = np.abs(data["cosine/mean"] - 1).max()
    same = np.abs(sampled[:, 1] - 1).max()
    medians = ", ".join(f"{names[j]} {np.median(sampled[:, j]):.2f}" for j in unit)
    apart = {name: data[f"path/{name}"] for name in CONDITIONS}
    scores = np.abs(_score(data["length/measured"] - data["length/exact"], data["length/error"]))
    return [
        Verdict(
            "On policy and in expectation GRPO and filtered SFT (positives, negatives, both) have one gradient.",
            SOURCES[1],
            "smallest cosine: 1",
            f"1 − {mean_gap:.0e} (50 random questions, exact means)",
            verdict(mean_gap < 1e-6),
        ),
        Verdict(
            "On policy the gradients of one group coincide.",
            SOURCES[1],
            "cosine 1 for every group that is not silent",
            f"± with GRPO's weights: 1 − {same:.0e}; medians for G = {GROUP}: {medians}",
            _identity(same, np.abs(sampled[:, unit] - 1).max()),
        ),
        Verdict(
            "On policy the expected paths coincide; a KL term, several epochs and shared parameters each part them.",
            "derived here, from the clocks",
            f"distance from GRPO's path below {PARTED} on policy, above it for some rule in each other condition",
            "; ".join(f"{name} {distance.max():.1g}" for name, distance in apart.items() if name != "Adam"),
            verdict(
                apart["on policy"].max() < PARTED
                and all(apart[name].max() > PARTED for name in apart if name not in ("on policy", "Adam"))
            ),
        ),
        Verdict(
            "Adam parts them, too.",
            "theory of this package",
            f"distance from GRPO's path with Adam above {PARTED} for some rule",
            f"{apart['Adam'].max():.1g}: Adam divides the gradient by its own scale, and the clock with it",
            verdict(apart["Adam"].max() > PARTED),
        ),
        Verdict(
            "With GRPO's weights filtered SFT± is GRPO in all of these conditions.",
            SOURCES[2],
            "distance: 0",
            f"{max(distance[1] for distance in apart.values()):.0e}",
            verdict(max(distance[1] for distance in apart.values()) < 1e-9),
        ),
        _matching(data),
        _collapse(data),
        Verdict(
            "The closed forms of the drift of the stop logit are right.",
            "derived here",
            f"largest z-score below {Z}",
            f"{scores.max():.1f} ({scores.size} means, three norms, accuracies {', '.join(map(str, SHARES))})",
            verdict(scores.max() < Z),
        ),
        *_length_verdicts(data),
    ]


def _score(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """z-scores; 0 where value and error both are zero, as for weights that are never used."""
    return np.where(error > 0, value / np.where(error > 0, error, 1.0), np.where(value == 0, 0.0, np.inf))


def _identity(same: float, others: float) -> str:
    if same > 1e-9:
        return FAILS
    return HOLDS if others < 1e-9 else ONLY_IF + "the weights are GRPO's; for others in expectation alone"


def _matching(data: Mapping[str, np.ndarray]) -> Verdict:
    j = [*RULES].index("± (unit weights)")
    rows = {
        f"{level}, {epochs}": data[f"tuned/{level}/{epochs}"][j] - data[f"tuned/{level}/{epochs}"][0]
        for level in LEVELS
        for epochs in ("one epoch", "four epochs")
    }
    ends = {name: row.mean() for name, row in rows.items()}
    errors = {name: 3.29 * row.std(ddof=1) / np.sqrt(row.size) for name, row in rows.items()}
    inside = [name for name in rows if abs(ends[name]) + errors[name] < MATCH]
    outcome = verdict(inside)
    if inside and len(inside) < len(rows):
        outcome = ONLY_IF + "; ".join(inside)
    return Verdict(
        "Filtered SFT with unit weights on positives and negatives matches GRPO at equal samples.",
        SOURCES[2],
        f"difference in accuracy within {MATCH} (99.9 % interval)",
        "; ".join(f"{name}: {ends[name]:+.3f} ± {errors[name]:.3f}" for name in rows),
        outcome,
    )


def _collapse(data: Mapping[str, np.ndarray]) -> Verdict:
    j = [*RULES].index("negatives only")
    rows = {
        epochs: data[f"tuned/hard/{epochs}"][j] - data["tuned/hard/base"]
        for epochs in ("one epoch", "four epochs")
    }
    gaps = {
        epochs: data[f"tuned/hard/{epochs}"][j] - data[f"tuned/hard/{epochs}"][0]
        for epochs in ("one epoch", "four epochs")
    }
    below = [name for name, row in rows.items() if row.mean() < -3.29 * row.std(ddof=1) / np.sqrt(row.size)]
    return Verdict(
        "Negatives alone collapse on hard questions.",
        SOURCES[2],
        "accuracy below that of base",
        "; ".join(
            f"{name}: {row.mean():+.3f} to base, {gaps[name].mean():+.3f} to GRPO; accuracy at rates "
            f"{RATES[0]:g} … {RATES[-1]:g}: {' '.join(f'{x:.2f}' for x in data[f'tuned/hard/{name}/rates'][j])}"
            for name, row in rows.items()
        ),
        verdict(len(below) == 2) if len(below) != 1 else ONLY_IF + below[0],
    )


def _length_verdicts(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    names, norm = [*RULES], {n: m for m, n in enumerate(NORMS)}
    measured, error = data["length/measured"], data["length/error"]
    scores = _score(measured, error)
    centred = [names.index(name) for name in CENTRED]
    others = [j for j in range(len(names)) if j not in centred]
    still = np.abs(scores[:, centred, :, 0]).max()
    constant = np.abs(scores[:, :, norm["constant"], 0]).max()
    by_length = scores[:, :, norm["1/|o|"]]
    both = names.index("± (unit weights)")
    signs = np.sign([2 * rho - 1 for rho in SHARES])
    drifting = [j for j in others if j != both]
    moves = np.abs(by_length[:, drifting, 0]).min()
    follows = all(
        abs(z) < Z if sign == 0 else z * sign > Z
        for z, sign in zip(by_length[:, both, 0], signs, strict=True)
    )
    punishing = [j for j, name in enumerate(names) if name != "positives only"]
    longer = by_length[:, punishing, 1].max()
    own, one = data["length/GRPO, 1/|o|, own stop"][-1], data["length/GRPO, 1/|o|, one stop"][-1]
    plainly = data["length/GRPO, constant, own stop"][-1]
    plain = np.abs(scores[:, :, norm["constant"], 1]).max()
    tokens = np.abs(scores[:, drifting, norm["1/Σ|o|"], 0]).min()
    return [
        Verdict(
            "Centred weights that are independent of length have no drift in length under any of the norms; nor have "
            "any weights divided by a constant.",
            "RINO-3, control; derived here",
            f"z-scores of the stop logit's gradient below {Z}",
            f"{still:.1f} (centred), {constant:.1f} (constant)",
            verdict(still < Z and constant < Z),
        ),
        Verdict(
            "Uncentred weights divided by |o| drift: shorter for positives, longer for negatives, and for unit ± by "
            "the share of wrong samples.",
            "RINO-3, control; derived here",
            f"z-scores beyond {Z}, longer iff more than half are wrong",
            f"positives and negatives beyond {moves:.0f}; ± at ρ = {', '.join(map(str, SHARES))}: "
            f"{', '.join(f'{z:+.0f}' for z in by_length[:, both, 0])}; divided by Σ|o|: beyond {tokens:.0f}",
            verdict(moves > Z and follows),
        ),
        Verdict(
            "Division by |o| makes wrong answers longer under GRPO.",
            SOURCES[3],
            "gradient of the stop of wrong answers below 0; their length grows in training",
            f"z ≤ {longer:+.0f}; mean length {1 / STOP:.0f} → {own[0]:.0f} (wrong) and {own[1]:.0f} (right) where each "
            f"has its own stop, {one[0]:.1f} where they share one; divided by a constant {plainly[0]:.1f}, "
            f"|z| ≤ {plain:.1f}",
            _wrong_answers(longer, plain, own[0] * STOP, abs(by_length[:, 0, 0]).max()),
        ),
    ]


def _wrong_answers(longer: float, constant: float, growth: float, shared: float) -> str:
    if longer > -Z or constant > Z or growth < 1:
        return FAILS
    return HOLDS if shared > Z else ONLY_IF + "the stop can depend on whether the answer is wrong"
