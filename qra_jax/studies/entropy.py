r"""Why does entropy fall in training, what do clipping and stale rollouts do to it, and is it tied to accuracy?

Theory (§3 of this package's): for any logit velocity v, dH/dt = −Cov_π(log π, v). One sampled step of size η with
mean v and covariance C of its gradient changes H, on average and to second order, by

$$ E[\Delta H] = -\eta\,{\rm Cov}_\pi(\log\pi, v) + \tfrac{\eta^2}2\,[v^\top B v + {\rm tr}(BC)],\qquad
   B = \nabla^2 H = \pi\pi^\top\circ(1 + a_r + a_s) - {\rm diag}(\pi(a+1)),\quad a = \log\pi + H $$

so a fall of entropy splits into drift (what training wants: all but the best patterns go) and noise (what
sampling does: −½η² tr(BC), with no reward difference needed).

Claims: clip-low (dropping A < 0 where ratio < 1 − ε) raises entropy, clip-high (A > 0, ratio > 1 + ε) lowers
it, and with both of them clip-high dominates, so that entropy falls even with random rewards (arXiv
2509.26114, abstract). Reward and entropy are tied by R = −a e^H + b (arXiv 2505.22617, second-hand).

Controls: the same seeds without clipping, paired; random rewards (all success rates ½) beside a problem with
something to learn; ratios that leave 1 through inner epochs beside ratios that leave 1 through stale rollouts;
for the entropy law a straight line in H with as many constants, runs of single questions, and the prediction
of later points from earlier ones.
"""

import math
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, training
from qra_jax.algorithm import grpo, reinforce, switch
from qra_jax.batching import many
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, random
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict
from qra_jax.theory import entropy_hessian, entropy_rate

TITLE = (
    "Entropy: drift and noise both lower it; clip-low raises it; e^H is tied to accuracy only now and then"
)
SOURCES = {
    "identity": "theory of this package, §3",
    "clip": "arXiv 2509.26114, abstract",
    "law": "arXiv 2505.22617 (second-hand)",
    "own": "derived here",
}
GROUP, SURE, LEADING = 8, 2.575829, 0.1
"""Rollouts; half a 99 % interval in standard errors; what a leading-order law may be off by (relative)."""
PAIR = (reinforce(group_size=GROUP), grpo(GROUP))
"""REINFORCE and GRPO, between which runs choose by number."""
REF = tuple(1 / r / sum(1 / s for s in range(1, 9)) for r in range(1, 9))
PROBLEMS = {
    "random rewards": (0.5,) * 8,
    "three good patterns": (0.3, 0.8, 0.3, 0.8, 0.3, 0.8, 0.3, 0.3),
    "one best pattern": (0.3, 0.8, 0.5, 0.2, 0.6, 0.1, 0.7, 0.4),
}
"""Success rates; the base policy is π_ref(r) ∝ 1/r."""
LADDER = (0.4, 0.2, 0.1, 0.05)
SPAN = 40.0
RATES = (0.1, 0.4, 1.6)
"""Learning rates of the runs whose fall of entropy is split, up to t = SPAN."""
RUNS = {True: 24, False: 600}
SEEDS = {True: 256, False: 6000}
TRIES = {True: 2000, False: 40_000}
ARMS = {"none": (1.0, 1.0), "low": (0.2, 1.0), "high": (1.0, 0.2), "both": (0.2, 0.2)}
"""ε_low and ε_high; 1 stands for no clipping."""
WAYS = {"epochs": (4, 0, 0.5, 60), "stale": (1, 4, 1.0, 120)}
"""How ratios leave 1: inner epochs, age of the rollouts; η; steps."""
RECORDS = 20
QUESTIONS = {True: 32, False: 400}
FAMILIES = ("uniform success rates", "right or wrong", "two levels", "sharp base model")


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """The identity, the split of ΔH, clipping and staleness, and runs of many questions."""
    key = jax.random.key(seed)
    keys = jax.random.split(key, 5)
    data = _identity() | _one_step(keys[0], TRIES[quick]) | _split(keys[1], RUNS[quick])
    data |= _clipping(keys[2], SEEDS[quick]) | _staleness(
        keys[3], SEEDS[quick], (4,) if quick else (1, 2, 4, 8)
    )
    return {name: np.asarray(value) for name, value in (data | _laws(keys[4], QUESTIONS[quick])).items()}


def _problem(success: Any) -> Problem:
    success = jnp.asarray(success)
    return Problem(jnp.log(jnp.asarray(REF, success.dtype)), success)


def _identity() -> dict[str, Any]:
    """Largest |ΔH/η − dH/dt| along mean training, for REINFORCE and GRPO with and without KL, and a ladder of η."""
    problem, steps = _problem(PROBLEMS["one best pattern"]), 100

    def error(which: jax.Array, beta: jax.Array, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        parts: dict[str, Any] = {"algorithm": switch(which, PAIR), "regularizers": [reverse_kl(beta)]}
        path = training.train(
            jax.random.key(0), problem, steps=steps, learning_rate=rate, mode="mean", **parts
        ).log_policy
        # flow.drift has a clock where the algorithm has one: REINFORCE's is 1, GRPO's that of its group.
        speed = jnp.where(
            which == 0, 1.0, jax.vmap(lambda z: grpo(GROUP).clock(metrics.accuracy(z, problem.success)))(path)
        )
        fixed = jax.vmap(lambda z: flow.drift(problem, z))(path)
        pull = jax.vmap(lambda z: reverse_kl(beta).velocity(z, problem.log_ref))(path)
        rates = jax.vmap(entropy_rate)(path, speed[:, None] * fixed + pull)
        change = jnp.diff(jax.vmap(metrics.entropy)(path)) / rate
        return jnp.max(jnp.abs(change - rates[:-1])), jnp.max(jnp.abs(rates))

    cells = np.meshgrid([0.0, 1.0], [0.0, 0.05], LADDER, indexing="ij")
    found = jax.jit(jax.vmap(error))(*(jnp.asarray(x.ravel()) for x in cells))
    shape = cells[0].shape
    return {"identity/error": found[0].reshape(shape), "identity/scale": found[1].reshape(shape)}


def _one_step(key: jax.Array, tries: int) -> dict[str, Any]:
    """Average change of H in one sampled step, its linear part and the rest, and what theory says of both."""
    rate = 0.02
    success = jnp.repeat(jnp.asarray(list(PROBLEMS.values())), 3, axis=0)
    # On the way to the best patterns: π ∝ π_ref exp(τ p).
    starts = jax.nn.log_softmax(
        jnp.log(jnp.asarray(REF))[None] + jnp.tile(jnp.array([0.0, 3, 8]), 3)[:, None] * success
    )

    def theory(which: jax.Array, log_policy: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
        problem, algorithm = _problem(p), switch(which, PAIR)
        noise = training.gradient_covariance(problem, log_policy, algorithm=algorithm)
        clock = jnp.where(which == 0, 1.0, grpo(GROUP).clock(metrics.accuracy(log_policy, p)))
        velocity = clock * flow.drift(problem, log_policy)
        bend = entropy_hessian(log_policy)
        return entropy_rate(log_policy, velocity), (velocity @ bend @ velocity + jnp.sum(bend * noise)) / 2

    def change(
        key: jax.Array, which: jax.Array, log_policy: jax.Array, p: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        run = training.train(
            key,
            _problem(p),
            steps=1,
            learning_rate=rate,
            algorithm=switch(which, PAIR),
            log_policy0=log_policy,
        ).log_policy
        slope = -jnp.exp(log_policy) * (log_policy + metrics.entropy(log_policy))
        linear = jnp.sum(slope * (run[1] - run[0]))
        return linear / rate, (metrics.entropy(run[1]) - metrics.entropy(run[0]) - linear) / rate**2

    args = [jnp.repeat(jnp.arange(2.0), len(starts)), jnp.tile(starts, (2, 1)), jnp.tile(success, (2, 1))]
    expected = jax.jit(jax.vmap(theory))(*args)
    keys = jax.random.split(key, tries * len(args[0]))
    sample = many(change, block=256)(keys, *(jnp.repeat(x, tries, axis=0) for x in args))
    data: dict[str, Any] = {}
    for name, found, wanted in zip(("drift", "second"), sample, expected, strict=True):
        values = np.asarray(found).reshape(-1, tries)
        data[f"step/{name}"], data[f"step/{name}_expected"] = values.mean(axis=1), wanted
        data[f"step/{name}_error"] = values.std(axis=1, ddof=1) / math.sqrt(tries)
    return data


def _rates(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """H, its rate of drift, and the second-order terms of noise and of the mean step."""
    algorithm = grpo(GROUP)
    velocity = flow.drift(problem, log_policy, algorithm=algorithm)
    bend = entropy_hessian(log_policy)
    noise = training.gradient_covariance(problem, log_policy, algorithm=algorithm)
    return jnp.stack(
        [
            metrics.entropy(log_policy),
            entropy_rate(log_policy, velocity),
            jnp.sum(bend * noise) / 2,
            velocity @ bend @ velocity / 2,
        ]
    )


def _split(key: jax.Array, runs: int) -> dict[str, Any]:
    """ΔH of sampled GRPO runs up to t = SPAN `[problem, η, run]`, and its parts: drift, noise, mean step."""
    steps = round(SPAN / RATES[0])

    def one(key: jax.Array, p: jax.Array, rate: jax.Array) -> jax.Array:
        path = training.measure(
            {"rates": _rates},
            key,
            _problem(p),
            steps=steps,
            learning_rate=rate,
            algorithm=grpo(GROUP),
        ).values["rates"]
        before = jnp.arange(steps + 1) < jnp.round(SPAN / rate)
        last = path[jnp.round(SPAN / rate).astype(int), 0]
        terms = jnp.sum(jnp.where(before[:, None], path[:, 1:], 0.0), axis=0)
        return jnp.stack([last - path[0, 0], rate * terms[0], rate**2 * terms[1], rate**2 * terms[2]])

    cells = [(p, rate) for p in PROBLEMS.values() for rate in RATES]
    success = jnp.asarray(np.repeat([p for p, _ in cells], runs, axis=0), jnp.float32)
    rates = jnp.asarray(np.repeat([rate for _, rate in cells], runs), jnp.float32)
    found = many(one, block=128)(jax.random.split(key, len(rates)), success, rates)
    return {"split": np.asarray(found, float).reshape(len(PROBLEMS), len(RATES), runs, 4)}


@cache
def _batch(way: tuple[int, int, float, int], high: bool, importance: bool = True) -> Any:
    return many(_runner(way, high, importance), block=256)


def _runner(way: tuple[int, int, float, int], high: bool, importance: bool = True) -> Any:
    """`(key, success, ε_low, ε_high) -> H, accuracy, clipped share [records]`."""
    epochs, age, rate, steps = way

    def run(key: jax.Array, p: jax.Array, low: jax.Array, top: jax.Array) -> tuple[jax.Array, ...]:
        clip = (low, top if high else None) if importance else None
        surrogate = "clip" if importance else "none"
        seen = training.measure(
            ("entropy", "accuracy"),
            key,
            _problem(p),
            steps=steps,
            learning_rate=rate,
            algorithm=grpo(GROUP),
            off_policy=OffPolicy(surrogate, clip, epochs=epochs, staleness=age),
            record_every=steps // RECORDS,
        )
        return seen.values["entropy"], seen.values["accuracy"], seen.stats["clipped"]

    return run


def _seeded(run: Any, key: jax.Array, seeds: int, low: float, high: float) -> list[np.ndarray]:
    """Runs of the problem without and of that with something to learn, `[problem, seed, record]`."""
    names = ("random rewards", "one best pattern")
    success = jnp.asarray(np.repeat([PROBLEMS[name] for name in names], seeds, axis=0), jnp.float32)
    fill = partial(jnp.full, 2 * seeds, dtype=jnp.float32)
    found = run(jnp.tile(jax.random.split(key, seeds), 2), success, fill(low), fill(high))
    return [np.asarray(x, float).reshape(2, seeds, -1) for x in found]


def _clipping(key: jax.Array, seeds: int) -> dict[str, Any]:
    """H and clipped share by way and arm; paired differences to no clipping, averaged over the run."""
    data: dict[str, Any] = {}
    for way, setting in WAYS.items():
        without, both = _batch(setting, False), _batch(setting, True)
        control: Any = None
        for arm, (low, high) in ARMS.items():
            run = without if high == 1 else both
            entropy, _, clipped = _seeded(run, key, seeds, low, high)
            control = entropy if control is None else control
            name = f"clip/{way}/{arm}"
            gap = (entropy - control)[..., 1:].mean(axis=2)
            data |= {
                f"{name}/entropy": entropy.mean(axis=1),
                f"{name}/clipped": clipped.mean(axis=(1, 2)),
                f"{name}/gap": gap.mean(axis=1),
                f"{name}/gap_error": gap.std(axis=1, ddof=1) / math.sqrt(seeds),
            }
    return data


def _staleness(key: jax.Array, seeds: int, ages: tuple[int, ...]) -> dict[str, Any]:
    """H and accuracy with old rollouts, with and without importance ratios, beside fresh ones."""
    rate, steps = WAYS["stale"][2:]
    data: dict[str, Any] = {"stale/ages": np.array([0, *ages])}
    for importance in (True, False)[: 1 + (len(ages) > 1)]:  # quick: with ratios only
        found = []
        for age in (0, *ages):
            run = _batch((1, age, rate, steps), False, importance or age == 0)
            entropy, accuracy, _ = _seeded(run, key, seeds, 1.0, 1.0)
            error = entropy.std(axis=1, ddof=1) / math.sqrt(seeds)
            found.append([entropy.mean(axis=1), error, accuracy.mean(axis=1)])
        name = "with ratios" if importance else "without ratios"
        for i, kind in enumerate(("entropy", "error", "accuracy")):
            data[f"stale/{name}/{kind}"] = np.stack([part[i] for part in found])
    return data


def _family(name: str, key: jax.Array) -> Problem:
    """A random question with ten patterns."""
    base: Problem = random(key, 10)
    if name == "right or wrong":
        right = (base.success < 0.3).at[0].set(True).at[1].set(False)
        return Problem(base.log_ref, jnp.where(right, 1.0, 0.0))
    if name == "two levels":
        return Problem(base.log_ref, jnp.where(base.success < 0.5, 0.2, 0.8))
    if name == "sharp base model":
        return Problem(jax.nn.log_softmax(4 * base.log_ref), base.success)
    return base


def _laws(key: jax.Array, questions: int) -> dict[str, Any]:
    """H and accuracy of expected GRPO on many questions of each family, `[family, question, record]`."""

    def run(problem: Problem) -> tuple[jax.Array, jax.Array]:
        values = training.measure(
            ("entropy", "accuracy"),
            jax.random.key(0),
            problem,
            steps=800,
            learning_rate=1.0,
            algorithm=grpo(GROUP),
            mode="mean",
            record_every=8,
        ).values
        return values["entropy"], values["accuracy"]

    keys = jax.random.split(key, questions)
    drawn = [jax.vmap(partial(_family, name))(keys) for name in FAMILIES]
    problems = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *drawn)
    entropy, accuracy = many(run, block=64)(problems)
    shape = (len(FAMILIES), questions, -1)
    return {
        "law/entropy": np.asarray(entropy).reshape(shape),
        "law/accuracy": np.asarray(accuracy).reshape(shape),
    }


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """R² of a straight line, and its intercept and slope."""
    design = np.stack([np.ones_like(x), x], axis=1)
    line = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(1 - np.var(y - design @ line) / np.var(y)), line


def law(entropy: np.ndarray, accuracy: np.ndarray) -> dict[str, float]:
    """R² of R = b − a e^H and of a line in H; error of the end as foretold from the first half of the gain."""
    exponential, _ = _fit(np.exp(entropy), accuracy)
    straight, _ = _fit(entropy, accuracy)
    gain = accuracy[-1] - accuracy[0]
    early = np.flatnonzero(accuracy <= accuracy[0] + 0.5 * gain)
    early = np.arange(max(3, early[-1] + 1)) if early.size else np.arange(3)
    ends = [_fit(f(entropy[early]), accuracy[early])[1] @ [1, f(entropy[-1])] for f in (np.exp, lambda h: h)]
    return {
        "exponential": exponential,
        "line": straight,
        "foretold": float((ends[0] - accuracy[-1]) / gain),
        "foretold_line": float((ends[1] - accuracy[-1]) / gain),
    }


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """The split of ΔH; runs with clipping; what clipping changes; accuracy against e^H."""
    figure, axes = plot.new((8.6, 6.6), nrows=2, ncols=2)
    _draw_split(data, axes[0, 0])
    _draw_runs(data, axes[0, 1])
    _draw_gaps(data, axes[1, 0])
    _draw_law(data, axes[1, 1])
    return figure


ARM_COLORS = {"none": plot.MUTED, "low": plot.CYCLE[0], "high": plot.CYCLE[1], "both": plot.CYCLE[6]}
ARM_NAMES = {"none": "no clipping", "low": "clip-low", "high": "clip-high", "both": "both"}


def _draw_split(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    parts = -data["split"].mean(axis=2)
    labels, place = [], 0.0
    for i, name in enumerate(PROBLEMS):
        for j, rate in enumerate(RATES):
            drift, noise = parts[i, j, 1], parts[i, j, 2]
            ax.barh(place, drift, color=plot.CYCLE[0], height=0.8, label="drift" if not place else None)
            ax.barh(
                place,
                noise,
                left=drift,
                color=plot.CYCLE[4],
                height=0.8,
                label="noise" if not place else None,
            )
            ax.plot(parts[i, j, 0], place, "k|", markersize=9, label="whole fall" if not place else None)
            labels.append((place, f"η = {rate:g}"))
            place += 1
        ax.text(0.02, place - 0.35, name, fontsize=8, va="center")
        place += 0.7
    ax.set_yticks([y for y, _ in labels], [text for _, text in labels])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=f"fall of entropy up to t = {SPAN:g} (nats), GRPO, G = {GROUP}", ylim=(place + 0.1, -0.7))
    ax.legend(loc="upper right", fontsize=8)
    ax.set_title("Reward makes it fall; else noise does, ∝ η")


def _draw_runs(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    steps = np.linspace(0, WAYS["epochs"][3], RECORDS + 1)
    for arm, color in ARM_COLORS.items():
        ax.plot(steps, data[f"clip/epochs/{arm}/entropy"][0], color=color, label=ARM_NAMES[arm])
    ax.set(xlabel="groups", ylabel="entropy (nats)", ylim=(0, None))
    ax.legend(loc="lower left", fontsize=8, title="random rewards, 4 epochs, ε = .2", title_fontsize=8)
    ax.set_title("Random rewards: clip-low raises entropy")


def _draw_gaps(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    labels = []
    for place, (way, i, label) in enumerate(_conditions()):
        labels.append(label.replace(", ", ",\n"))
        for k, arm in enumerate(("low", "high", "both")):
            gap, error = (float(data[f"clip/{way}/{arm}/{kind}"][i]) for kind in ("gap", "gap_error"))
            ax.bar(
                place + 0.26 * (k - 1),
                gap,
                0.24,
                yerr=SURE * error,
                color=ARM_COLORS[arm],
                label=None if place else ARM_NAMES[arm],
                error_kw={"linewidth": 0.8},
            )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(labels)), labels, fontsize=8)
    ax.set(ylabel="change of mean entropy (nats)")
    ax.legend(loc="upper left", fontsize=8)
    ax.set_title("Clip-high lowers it in one case of four")


def _draw_law(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    colors = (plot.CYCLE[0], plot.CYCLE[1], plot.CYCLE[2], plot.CYCLE[3])
    for i, (name, color) in enumerate(zip(FAMILIES, colors, strict=True)):
        entropy, accuracy = data["law/entropy"][i].mean(axis=0), data["law/accuracy"][i].mean(axis=0)
        found = law(entropy, accuracy)
        x = np.exp(entropy)
        line = _fit(x, accuracy)[1]
        ax.plot(
            x,
            accuracy,
            "o",
            color=color,
            markersize=3.5,
            label=f"{name}, R² = {found['exponential']:.3f}".replace("0.", "."),
        )
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, line[0] + line[1] * ends, color=color, linewidth=0.9)
    ax.set(xlabel="exp(mean entropy)", ylabel="mean accuracy")
    ax.legend(fontsize=8)
    ax.set_title("Averages lie near lines in $e^H$, but bend")


def _conditions() -> list[tuple[str, int, str]]:
    """Way, index of the problem, and what to call them."""
    names = ("random rewards", "a best pattern")
    words = {"epochs": "epochs", "stale": "old rollouts"}
    return [(way, i, f"{name}, {words[way]}") for way in WAYS for i, name in enumerate(names)]


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Identity, noise, their shares; clipping; staleness; the entropy law."""
    errors = data["identity/error"].reshape(-1, len(LADDER))
    orders = [float(np.polyfit(np.log(LADDER), np.log(row), 1)[0]) for row in errors]
    least = (data["identity/error"] / data["identity/scale"])[..., -1].max()
    chi = {
        kind: np.sum(
            ((data[f"step/{kind}"] - data[f"step/{kind}_expected"]) / data[f"step/{kind}_error"]) ** 2
        )
        for kind in ("drift", "second")
    }
    cells = len(data["step/drift"])
    limit = _chi2_limit(cells)
    return [
        Verdict(
            "dH/dt = −Cov_π(log π, v) along mean training, with an error O(η).",
            SOURCES["identity"],
            "order 1 in η for REINFORCE and GRPO, with and without KL",
            f"orders {', '.join(f'{order:.2f}' for order in orders)}; largest error at η = {LADDER[-1]}: {least:.1%} "
            "of the largest rate",
            verdict(all(abs(order - 1) < LEADING for order in orders)),
        ),
        Verdict(
            "The same identity holds on average for a sampled step, and what is left is ½η²[v·Bv + tr(BC)].",
            SOURCES["identity"],
            f"χ² of the z-scores of {cells} policies below {limit:.0f} (99 %)",
            f"linear part {chi['drift']:.1f}, second-order part {chi['second']:.1f}",
            verdict(max(chi.values()) < limit),
        ),
        _split_row(data),
        *_clip_rows(data),
        _stale_row(data),
        *_law_rows(data),
    ]


def _split_row(data: Mapping[str, np.ndarray]) -> Verdict:
    split = data["split"]
    mean = split.mean(axis=2)
    rest = split[..., 0] - split[..., 1:].sum(axis=-1)
    closed = abs(rest[:, 0].mean(axis=-1)) <= SURE * rest[:, 0].std(axis=-1, ddof=1) / math.sqrt(
        split.shape[2]
    ) + LEADING * abs(mean[:, 0, 0])
    names = list(PROBLEMS)
    drifting = (mean[1:, :, 1] < mean[1:, :, 2]).all()
    blind = (abs(mean[0, :, 1]) < 1e-3).all() and (mean[0, :, 2] < 0).all()
    words = "; ".join(
        f"{name}: "
        + ", ".join(
            f"η = {rate:g} {mean[i, j, 1]:+.2f} {mean[i, j, 2]:+.2f} of {mean[i, j, 0]:+.2f}"
            for j, rate in enumerate(RATES)
        )
        for i, name in enumerate(names)
    )
    return Verdict(
        "Entropy falls by drift where there is something to learn, and by noise alone where there is not.",
        SOURCES["own"],
        f"drift and noise add up to ΔH at η = {RATES[0]} (within {LEADING:.0%}); drift 0 with random rewards, the "
        "larger part else",
        words,
        verdict(closed.all() and drifting and blind),
    )


def _clip_rows(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    rows = []
    for arm, claim, sign in (
        ("low", "Clip-low raises entropy.", 1),
        ("high", "Clip-high lowers entropy.", -1),
        (
            "both",
            "With both, clip-high dominates: symmetric clipping lowers entropy, even with random rewards.",
            -1,
        ),
    ):
        held, words = [], []
        for way, i, label in _conditions():
            gap, error = (float(data[f"clip/{way}/{arm}/{kind}"][i]) for kind in ("gap", "gap_error"))
            if sign * gap > SURE * error:
                held.append(label)
            words.append(f"{label}: {gap:+.3f} ± {error:.3f}")
        says = verdict(len(held) == len(words))
        if 0 < len(held) < len(words):
            says = ONLY_IF + " or ".join(held)
        rows.append(
            Verdict(
                claim,
                SOURCES["clip"],
                f"{'above' if sign > 0 else 'below'} the same runs without clipping",
                "change of entropy averaged over the run: " + "; ".join(words),
                says,
            )
        )
    return rows


def _stale_row(data: Mapping[str, np.ndarray]) -> Verdict:
    held, words = [], []
    for kind in ("with ratios", "without ratios"):
        if f"stale/{kind}/entropy" not in data:
            continue
        entropy, error = data[f"stale/{kind}/entropy"], data[f"stale/{kind}/error"]
        for i, name in enumerate(("random rewards", "a best pattern")):
            fresh, old = (entropy[k, i] for k in (0, -1))
            if i == 1:  # at equal accuracy, while it is rising
                progress = data[f"stale/{kind}/accuracy"][:, i]
                first, last = progress[0, 0], progress[0, -1]
                level = first + (last - first) * np.linspace(0.1, 0.9, RECORDS)
                fresh, old = (np.interp(level, progress[k], entropy[k, i]) for k in (0, -1))
            gap = (old - fresh).mean()
            # Records of one run go together: the error of the mean is at most the mean of the errors.
            spread = np.hypot(error[-1, i], error[0, i])[1:].mean()
            if gap < -SURE * spread:
                held.append(f"{name} {kind}")
            words.append(f"{name}, {kind}: {gap:+.3f} ± {spread:.3f}")
    says = verdict(len(held) == len(words))
    if 0 < len(held) < len(words):
        says = ONLY_IF + " or ".join(held)
    return Verdict(
        "Old rollouts lower entropy.",
        "asked here",
        "below that of fresh rollouts at equal steps (random rewards) or equal accuracy (a best pattern)",
        f"age {data['stale/ages'][-1]}: " + "; ".join(words),
        says,
    )


def _law_rows(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    averages = [
        law(h.mean(axis=0), r.mean(axis=0))
        for h, r in zip(data["law/entropy"], data["law/accuracy"], strict=True)
    ]
    single, better = [], []
    for entropy, accuracy in zip(data["law/entropy"], data["law/accuracy"], strict=True):
        pairs = [
            (_fit(np.exp(h), r)[0], _fit(h, r)[0])
            for h, r in zip(entropy, accuracy, strict=True)
            if np.ptp(r) > 1e-6 and np.ptp(h) > 1e-6
        ]
        single.append(np.mean([pair[0] > 1 - LEADING for pair in pairs]))
        better.append(np.mean([pair[0] > pair[1] for pair in pairs]))
    fits = all(row["exponential"] > max(1 - LEADING, row["line"]) for row in averages)
    alone = min(single) > 1 - LEADING
    says = (
        HOLDS
        if fits and alone
        else ONLY_IF + "entropy and accuracy are averages over many questions"
        if fits
        else FAILS
    )
    foretold = [abs(row["foretold"]) for row in averages]
    return [
        Verdict(
            "Accuracy and entropy are tied by R = −a e^H + b in the course of a run.",
            SOURCES["law"],
            f"R² above {1 - LEADING:g} and above that of a line in H",
            "averages: "
            + ", ".join(
                f"{name} {row['exponential']:.3f} (line {row['line']:.3f})"
                for name, row in zip(FAMILIES, averages, strict=True)
            )
            + "; single questions with R² > .9: "
            + ", ".join(f"{share:.0%}" for share in single)
            + "; better than the line in "
            + ", ".join(f"{share:.0%}" for share in better),
            says,
        ),
        Verdict(
            "The law fitted early foretells the end of the run.",
            SOURCES["law"],
            f"final accuracy from the first half of the gain: off by less than {LEADING:.0%} of the gain",
            "; ".join(
                f"{name} {row['foretold']:+.0%} (line {row['foretold_line']:+.0%})"
                for name, row in zip(FAMILIES, averages, strict=True)
            ),
            verdict(max(foretold) < LEADING),
        ),
    ]


def _chi2_limit(degrees: int) -> float:
    """99 % quantile of χ² (Wilson and Hilferty's approximation)."""
    return degrees * (1 - 2 / (9 * degrees) + 2.326348 * math.sqrt(2 / (9 * degrees))) ** 3
