"""What does internal feedback do to a network that writes its answers token by token?

Claims NFL-1 … NFL-4 (Zhang et al., arXiv 2506.17219): trained on its own certainty a model rises to a peak and
falls below its start; the gain grows with the entropy of the start; it is a gain in format; self-certainty, token
entropy and trajectory entropy are partly equivalent. QRA-4, QRA-6 (Chen, Li, Zou, arXiv 2506.04695): success rates
stay put, RLVR moves steadily to better patterns, internal feedback wanders and may end in the worst.

Twelve questions, three patterns each: sure and right, sure and wrong (its mass on one wrong answer), unsure. In half
of the questions the wrong one is the surer; in a third of them it is also the commoner, so that the majority is
wrong. An answer is announced by a marker in 80 % of the corpus; a verifier that asks for it scores *with format*.
All numbers of a network are exact: the 24 sequences of each question (3 patterns, announced or not, 4 answers) are
enumerated by teacher forcing, and scores, rewards, and expected gradients are sums over them. The tabular theory
gets the base's π, p and expected rewards R of each pattern, and predicts a direction, π(R − R̄) on the orbit of the
softmax policy gradient and R on that of the natural gradient, and the end of both, argmax R. The natural orbit
π_ref exp(Rτ)/Z is also that of trajectory log-probability, whose reward reinforces itself, and of the vote as long as
the majority does not change. What the theory cannot see is that a network also moves its answers and its format.

Gains are read at the peak of the mean over the *other* seeds, so that they are not biased upwards. Intervals are 95 %
t intervals over seeds. A claim that a number is above another holds if the interval of their paired difference is
above zero, fails if no end of it is, and is open otherwise; the quick version has two seeds, too few for most
verdicts. Seeds of which a run failed, or is not finite, are left out, and said to be.

Control: RLVR; scores with and without format; a base that always announces; two SFT ends of about equal entropy,
of which one raises accuracy (the right pattern everywhere) and one does not (the wrong one in half of the questions).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import algorithm, plot
from qra_jax.problem import Problem, stack
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, bounded, decided, interval
from qra_jax.transformer import learning, model as network, reward as rewards, rl
from qra_jax.transformer.model import Decoder, Model, Params
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Controlled, Demonstrations, Verification as Judged, controlled

TITLE = "Internal feedback in a network: what a token reward can see decides what rises and what falls"
SOURCE = "Zhang et al., arXiv 2506.17219"
REWARDS = ("RLVR", "self-certainty", "token entropy", "trajectory log-prob", "majority vote")
INTERNAL, CERTAIN = REWARDS[1:], REWARDS[1:4]
SURE, LESS = 0.93, 0.75
"""Mass on the main answer of the surer and of the other sure pattern."""
ANNOUNCED = (0.8, 1.0)
"""Shares of announced answers in the two corpora."""
ENDS = ("right", "even")
"""What SFT teaches: the right pattern, or the right one in half of the questions."""
INTERPOLATED = ("token entropy", "trajectory log-prob")
"""Rewards that are run from the interpolated starts."""
WIDTH, GROUP = 64, 8
"""Width of the network, rollouts of a question."""


class RunSize(NamedTuple):
    """Extent of a version."""

    seeds: int
    questions: int
    lessons: int
    """Steps of pre-training and of SFT."""
    steps: int
    """Steps of RL."""
    record_every: int
    rate: float
    """Learning rate of Adam in RL."""
    mixed: tuple[float, ...]
    """Weights m of an SFT end in the interpolated starts."""
    depth: int


FULL = RunSize(8, 12, 300, 120, 4, 2e-4, (0.1, 0.2, 0.5, 1.0), 2)
QUICK = RunSize(2, 6, 150, 30, 2, 8e-4, (0.2, 1.0), 1)
NEAR, STILL = 0.1, 0.02
"""How near a share must be to the predicted one; up to what change a success rate is said to stay."""


class Language(NamedTuple):
    """All sequences of the corpus: two forms (announced, plain) × n patterns × m answers for each question."""

    shown: Demonstrations
    tokens: jax.Array
    where: jax.Array
    shape: tuple[int, int, int, int]


def questions(count: int) -> Problem:
    """Questions whose patterns are sure and right, sure and wrong, unsure.

    Args:
      count: how many; six are all kinds.

    Returns:
      A stacked `Problem` with four answers; the wrong pattern is surer in odd questions, commoner in every third.
    """
    made = []
    for number in range(count):
        right, wrong = (LESS, SURE) if number % 2 else (SURE, LESS)
        rows = [[right] + 3 * [(1 - right) / 3], [(1 - wrong) / 3, wrong] + 2 * [(1 - wrong) / 3]]
        ref = [0.15, 0.40, 0.45] if number % 3 == 2 else [0.35, 0.15, 0.50]
        made.append(Problem.from_probs(ref=ref, answers=[*rows, [0.4, 0.2, 0.2, 0.2]]))
    return stack(made)


def language(task: Controlled) -> Language:
    """Every sequence that the corpus knows, answers in the order of the answer table."""
    shown = task.demonstrations()
    answer = task.first_answer + (task.key[:, None] + jnp.arange(task.choices)[None]) % task.choices
    slot = jnp.arange(task.length)[None, None] == shown.answer_at[..., None]
    tokens = jnp.where(slot[:, :, None], answer[:, None, :, None], shown.tokens[:, :, None])
    shape = task.number, 2, task.patterns, task.choices
    return Language(
        shown,
        tokens.reshape(task.number, -1, task.length),
        jnp.repeat(shown.where, task.choices, axis=1),
        shape,
    )


def likelihood(model: Model, params: Params, known: Language) -> tuple[jax.Array, Rollouts]:
    """Log-probabilities `[questions, 2nm]` of all known sequences, and what internal rewards read of them."""
    asked = known.shown.questions
    logits, _ = network.score(model, params, asked.prompt, asked.real, known.tokens)
    log_probs = jax.nn.log_softmax(logits)
    emitted = jnp.take_along_axis(log_probs, known.tokens[..., None], axis=-1)[..., 0]
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    numbers = [jnp.where(known.where, x, 0.0) for x in (emitted, entropy, jnp.mean(log_probs, axis=-1))]
    return jnp.sum(numbers[0], axis=-1), Rollouts(known.tokens, known.where, *numbers)


def earned(model: Model, params: Params, known: Language) -> tuple[jax.Array, jax.Array]:
    """Probability and rewards of every known sequence.

    Returns:
      `[questions, 2, n, m]` and `[rewards, questions, 2, n, m]`; the vote is that of infinitely many rollouts.
    """
    log_prob, rollouts = likelihood(model, params, known)
    chance = jnp.exp(log_prob).reshape(known.shape)
    announced = (jnp.arange(2) == 0)[None, :, None, None]
    answer = jnp.arange(known.shape[-1])[None, None, None]
    vote = jnp.argmax(jnp.sum(chance[:, 0], axis=1), axis=-1)[:, None, None, None]
    nobody = jnp.zeros(rollouts.tokens.shape[:2], int)
    unjudged = Judged(nobody == 1, nobody == 1, nobody, nobody == 1, nobody)
    internal = (rewards.self_certainty(), rewards.token_entropy(), rewards.trajectory_log_prob())
    read = [each(jax.random.key(0), rollouts, unjudged).reshape(known.shape) for each in internal]
    binary = [
        jnp.broadcast_to((announced & (answer == a)).astype(chance.dtype), known.shape) for a in (0, vote)
    ]
    return chance, jnp.stack([binary[0], *read, binary[1]])


def look(model: Model, params: Params, known: Language) -> dict[str, jax.Array]:
    """Exact scores: with format, without; π, p (ignoring format), share of markers, all else, entropy a token."""
    log_prob, rollouts = likelihood(model, params, known)
    chance = jnp.exp(log_prob).reshape(known.shape)
    inside = jnp.sum(chance, axis=(1, 2, 3))
    pattern = jnp.sum(chance, axis=(1, 3))
    mean_entropy = jnp.sum(rollouts.entropy, axis=-1) / rollouts.length
    return {
        "with": jnp.mean(jnp.sum(chance[:, 0, :, 0], axis=-1)),
        "without": jnp.mean(jnp.sum(chance[..., 0], axis=(1, 2))),
        "policy": pattern / jnp.sum(pattern, axis=-1, keepdims=True),
        "success": jnp.sum(chance[..., 0], axis=1) / pattern,
        "announced": jnp.mean(jnp.sum(chance[:, 0], axis=(1, 2)) / inside),
        "outside": jnp.mean(1 - inside),
        "entropy": jnp.mean(jnp.sum(jnp.exp(log_prob) * mean_entropy, axis=-1) / inside),
    }


def expected(model: Model, params: Params, known: Language) -> dict[str, jax.Array]:
    r"""What the rewards see at the start, and the exact policy gradients $\sum_o P(o) A(o) \nabla\log P(o)$.

    A is the reward standardised over each question's sequences, as in GRPO with a large group.

    Returns:
      `rates` `[rewards, questions, n]`, expected reward of a pattern; `seen` `[rewards, 3]`, share of the rewards'
      variance between patterns, between announced and plain sequences of a pattern, and between answers; `cosine`
      `[rewards, rewards]` of the gradients.
    """
    chance, reward = earned(model, params, known)
    chance = chance / jnp.sum(chance, axis=(1, 2, 3), keepdims=True)
    over = lambda x, axes: jnp.sum(chance * x, axis=axes, keepdims=True)  # noqa: E731
    share = lambda axes: jnp.sum(chance, axis=axes, keepdims=True)  # noqa: E731
    mean = jax.vmap(lambda x: over(x, (1, 2, 3)))(reward)
    of_pattern = jax.vmap(lambda x: over(x, (1, 3)))(reward) / share((1, 3))[None]
    of_form = jax.vmap(lambda x: over(x, 3))(reward) / share(3)[None]
    variance = lambda x: jnp.sum(chance[None] * x**2, axis=(2, 3, 4))  # noqa: E731
    parts = [variance(of_pattern - mean), variance(of_form - of_pattern), variance(reward - of_form)]
    total = variance(reward - mean)
    advantage = (reward - mean) / jnp.sqrt(total)[..., None, None, None]
    weight = (chance[None] * advantage).reshape(len(REWARDS), known.shape[0], -1)
    _, pull = jax.vjp(lambda params: likelihood(model, params, known)[0], params)
    slopes = jax.vmap(lambda w: jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(pull(w)[0])]))(
        weight.astype(jnp.float32)
    )
    norm = jnp.linalg.norm(slopes, axis=-1)
    return {
        "rates": of_pattern[:, :, 0, :, 0],
        "seen": jnp.stack([jnp.mean(part / total, axis=-1) for part in parts], axis=-1),
        "cosine": slopes @ slopes.T / (norm[:, None] * norm[None]),
    }


def any_reward(which: jax.Array) -> rewards.SequenceReward:
    """The reward of this number in `REWARDS`, which may be traced: one program for all."""
    every = (
        rewards.verifiable(),
        rewards.self_certainty(),
        rewards.token_entropy(),
        rewards.trajectory_log_prob(),
        rewards.majority_vote(),
    )

    def function(params: dict[str, Any], key: jax.Array, rollouts: Rollouts, judged: Judged) -> jax.Array:
        return jnp.stack([each(key, rollouts, judged) for each in every])[params["which"]]

    return rewards.SequenceReward("chosen", function, {"which": which})


def taught(model: Model, params: Params, corpus: Demonstrations, steps: int) -> Params:
    """Expected cross-entropy descent, as in `learning.learn`; the corpus is an argument, so one program does all."""
    optimiser = optax.adamw(learning.cosine(3e-3, steps), b2=0.99, weight_decay=1e-4)

    def step(state: Any, _: Any) -> tuple[Any, None]:
        params, memory = state
        slope = jax.grad(lambda params: learning.cross_entropy(model, params, corpus))(params)
        change, memory = optimiser.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory), None

    (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), None, steps)
    return params


def lessons(task: Controlled) -> dict[str, Demonstrations]:
    """The corpora of the SFT ends; both are announced, with answers surer than the base's."""
    right, wrong = jnp.array([0.94, 0.03, 0.03]), jnp.array([0.03, 0.94, 0.03])
    half = (jnp.arange(task.number) // 3 % 2 == 1)[:, None]
    success = jnp.array([0.97, 0.01, 0.4])
    return {
        "right": task.demonstrations(mixture=right, success=success),
        "even": task.demonstrations(mixture=jnp.where(half, wrong[None], right[None]), success=success),
    }


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *trees)


def _repeated(tree: Any, times: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (times, *leaf.shape)), tree)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Bases and SFT ends of every seed, their exact read-outs, and one program of RL for all starts and rewards."""
    size = QUICK if quick else FULL
    seeds, mixed = size.seeds, size.mixed
    tasks = [
        controlled(questions(size.questions), announced=share, steps=(1, 1, 1), digits=1)
        for share in ANNOUNCED
    ]
    task, model = tasks[0], Decoder(tasks[0].vocabulary, width=WIDTH, depth=size.depth)
    known = language(task)
    keys = jax.random.split(jax.random.key(seed), seeds)
    fresh = jax.jit(jax.vmap(lambda key: network.init(key, model)))(keys)
    teach = learning.side_by_side(lambda params, corpus: taught(model, params, corpus, size.lessons))
    corpora = [_repeated(each.demonstrations(), seeds) for each in tasks]
    bases = teach(_stacked([fresh, fresh]), _stacked(corpora))
    base = jax.tree.map(lambda leaf: leaf[:seeds], bases)
    ends = [_repeated(each, seeds) for each in lessons(tasks[1]).values()]
    ended = teach(_stacked([base, base]), _stacked(ends))

    # Runs are [arm, reward, seed], then [end, m, reward, seed].
    starts, which = [], []
    for arm in range(2):
        own = jax.tree.map(lambda leaf, arm=arm: leaf[arm * seeds : (arm + 1) * seeds], bases)
        for number in range(len(REWARDS)):
            starts.append(own)
            which += [number] * seeds
    for end in range(2):
        own = jax.tree.map(lambda leaf, end=end: leaf[end * seeds : (end + 1) * seeds], ended)
        for m in mixed:
            start = jax.tree.map(lambda a, b, m=m: (1 - m) * a + m * b, base, own)
            for name in INTERPOLATED:
                starts.append(start)
                which += [REWARDS.index(name)] * seeds
    train = learning.side_by_side(
        lambda key, params, which: rl.train(
            key,
            model,
            params,
            task,
            algorithm=algorithm.grpo(GROUP),
            steps=size.steps,
            questions=task.number,
            learning_rate=size.rate,
            reward=any_reward(which),
            record_every=size.record_every,
            probe=lambda params: look(model, params, known),
        )
    )
    run = train(jax.random.split(jax.random.key(seed + 1), len(which)), _stacked(starts), jnp.asarray(which))
    seen = {name: np.asarray(value, float) for name, value in run.seen.items()}
    first, arms = 2 * len(REWARDS) * seeds, (2, len(REWARDS), seeds)
    data: dict[str, np.ndarray] = {
        name: value[:first].reshape(arms + value.shape[1:]) for name, value in seen.items()
    }
    rest = 2, len(mixed), len(INTERPOLATED), seeds
    for name in ("with", "without", "entropy"):
        data[f"mixed/{name}"] = seen[name][first:].reshape(rest + seen[name].shape[1:])
    start = learning.side_by_side(lambda params: expected(model, params, known))(base)
    data |= {name: np.asarray(value, float) for name, value in start.items()}
    table = task.problem.answer_table()
    return data | {
        "step": np.asarray(run.step[0]),
        "status": np.asarray(run.status),
        "m": np.asarray(mixed),
        "certainty": np.asarray(-jnp.mean(jnp.log(table), axis=-1)),
        "corpus_policy": np.asarray(task.problem.ref),
        "corpus_success": np.asarray(task.problem.success),
    }


def orbits(policy: np.ndarray, success: np.ndarray, rates: np.ndarray) -> dict[str, np.ndarray]:
    r"""Accuracy along the tabular orbits of both metrics, from read-outs.

    $$ \pi \propto \pi_{\rm ref} e^{R\tau} \quad\text{(natural)}, \qquad
       \pi \propto 1/w,\; w = 1/\pi_{\rm ref} - R\tau + b(\tau),\;
       \textstyle\sum\log w = -\sum\log\pi_{\rm ref} \quad\text{(softmax)} $$

    Args:
      policy, success: `[..., n]`, positive, probabilities.
      rates: `[..., n]`, rewards; any scale.

    Returns:
      `natural`, `softmax`: `[..., times]` from the reference to where, but for ties, argmax R has all mass.
    """
    mean = np.sum(policy * rates, axis=-1, keepdims=True)
    spread = np.sqrt(np.sum(policy * (rates - mean) ** 2, axis=-1, keepdims=True))
    rates = (rates - mean) / np.where(spread > 0, spread, 1)
    tau = np.append(0, np.geomspace(1e-2, 1e4, 300))[:, None]
    policy, success, rates = (x[..., None, :] for x in np.broadcast_arrays(policy, success, rates))
    power = np.log(policy) + rates * tau
    natural = np.exp(power - power.max(axis=-1, keepdims=True))

    walls = 1 / policy - rates * tau
    walls = walls - walls.min(axis=-1, keepdims=True)
    level = -np.sum(np.log(policy), axis=-1, keepdims=True)
    low, high = np.full_like(level, -60) + 0 * tau, level / policy.shape[-1] + 0 * tau
    for _ in range(60):  # bisection in the log of the least w
        middle = (low + high) / 2
        below = np.sum(np.log(walls + np.exp(middle)), axis=-1, keepdims=True) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = {"natural": natural, "softmax": 1 / (walls + np.exp(high))}
    return {name: np.sum(x * success, axis=-1) / np.sum(x, axis=-1) for name, x in found.items()}


_COLORS = {name: plot.color(name) for name in REWARDS} | {"majority vote": "#7F3C8D"}


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy with and without format against training, what the rewards see, gain against entropy."""
    data, _ = _sound(data)
    figure, axes = plot.new((9.6, 6.4), nrows=2, ncols=2)
    for score, words, ax in (("with", "With format", axes[0, 0]), ("without", "Without", axes[0, 1])):
        _curves(data, score, ax)
        fates = [_fate(curves) for curves in data[score][0, 1:]]
        up, down = (each.count(HOLDS) for each in zip(*fates, strict=True))
        ax.set_title(f"{words}: {up} of {len(fates)} internal rewards rise, {down} fall")
    axes[0, 1].legend(loc="lower right", fontsize=7.5, ncols=2)
    _seen(data["seen"], axes[1, 0])
    _entropy(data, axes[1, 1])
    return figure


def _curves(data: Mapping[str, np.ndarray], score: str, ax: Axes) -> None:
    for name, curves in zip(REWARDS, data[score][0], strict=True):
        mean, half = np.transpose([interval(now) for now in curves.T])
        ax.fill_between(data["step"], mean - half, mean + half, color=_COLORS[name], alpha=0.15, linewidth=0)
        ax.plot(data["step"], mean, color=_COLORS[name], label=name, zorder=2 + (name == "RLVR"))
    ax.axhline(data[score][0, :, :, 0].mean(), color=plot.MUTED, linestyle=":", linewidth=1, zorder=0)
    ax.set(xlabel="step", ylabel="accuracy " + ("with format" if score == "with" else "ignoring format"))
    ax.set_ylim(-0.03, 1.03)


def _seen(seen: np.ndarray, ax: Axes) -> None:
    left = np.zeros(len(REWARDS))
    for part, (name, color) in enumerate(
        (("pattern", "#0072B2"), ("marker", "#56B4E9"), ("answer", "#CC79A7"))
    ):
        width = seen[:, :, part].mean(axis=0)
        ax.barh(REWARDS, width, left=left, color=color, label=name, height=0.65)
        for y, (start, share) in enumerate(zip(left, width, strict=True)):
            if share > 0.06:
                ax.text(start + share / 2, y, f"{share:.0%}", ha="center", va="center", fontsize=8)
        left = left + width
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of the reward's variance at the start, between …")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=3, fontsize=7.5)
    means = seen[:, 1:3, 2].mean()
    ax.set_title(f"The answer makes {means:.0%} of what token means see", pad=20)


def _entropy(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for number, name in enumerate(INTERPOLATED):
        found = _starts(data, number, "without")
        for end, marker in enumerate("os"):
            pick = found["end"] == end
            entropy = found["entropy"][pick].mean(axis=-1)
            gain, half = np.transpose([interval(each) for each in found["gain"][pick]])
            label = f"{name}, SFT on " + ("the right" if end == 0 else "right and wrong")
            fill = _COLORS[name] if end == 0 else "white"
            ax.errorbar(entropy, gain, half, color=_COLORS[name], linewidth=0.8, linestyle="none")
            ax.plot(
                entropy,
                gain,
                marker + "-",
                color=_COLORS[name],
                markerfacecolor=fill,
                linewidth=0.8,
                markersize=5,
                label=label,
            )
    ax.axhline(0, color=plot.MUTED, linewidth=1, zorder=0)
    ax.set(xlabel="token entropy of the start (nats)", ylabel="gain ignoring format", ylim=(-0.2, 0.8))
    ax.legend(fontsize=7.5)
    slopes = [np.mean(_slopes(_starts(data, number, "without"))[0]) for number in range(len(INTERPOLATED))]
    ax.set_title(f"Gain a nat: {slopes[1]:+.1f} trajectory, {slopes[0]:+.1f} token entropy")


def gains(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain of each seed at the peak of the others' mean curve, and the time of that peak.

    Args:
      curves: `[..., seeds, times]`, at least two seeds.

    Returns:
      `[..., seeds]` each.
    """
    others = np.sum(curves, axis=-2, keepdims=True) - curves
    at = np.argmax(others, axis=-1)
    return np.take_along_axis(curves, at[..., None], axis=-1)[..., 0] - curves[..., 0], at


_SEEDS = {"with": 2, "without": 2, "policy": 2, "success": 2, "announced": 2, "entropy": 2, "outside": 2}
_SEEDS |= {"mixed/with": 3, "mixed/without": 3, "mixed/entropy": 3, "cosine": 0, "rates": 0, "seen": 0}
"""Axis of the seeds in what runs and read-outs give."""


def _sound(data: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The data of the seeds of which all runs ended well and all numbers are finite, and words for the others."""
    seeds = len(data["rates"])
    good = np.all(np.reshape(data["status"], (-1, seeds)) == 0, axis=0)
    for name in _SEEDS.keys() & data.keys():
        good &= np.all(np.isfinite(np.moveaxis(data[name], _SEEDS[name], 0)).reshape(seeds, -1), axis=1)
    if not good.any():
        raise ValueError("status: no seed of which every run ended well and is finite; must be at least one")
    kept = {
        name: np.compress(good, x, axis=_SEEDS[name]) if name in _SEEDS else x for name, x in data.items()
    }
    return kept, "" if good.all() else f" ({np.sum(~good)} of {seeds} seeds left out: failed or not finite)"


def _above(values: np.ndarray) -> str:
    """Verdict on "above zero": the interval is, its upper end is not, or neither."""
    mean, half = interval(values)
    return decided(mean - half > 0, mean + half <= 0)


def _all(*verdicts: str) -> str:
    """Verdict on "and"."""
    return decided(set(verdicts) == {HOLDS}, FAILS in verdicts)


def _fate(curves: np.ndarray) -> tuple[str, str]:
    """Whether accuracy `[seeds, times]` rises to its peak, and whether it ends below its start."""
    return _above(gains(curves)[0]), _above(curves[:, 0] - curves[:, -1])


def _selection(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Accuracy of the choice of patterns at the first success rates, `[arms, rewards, seeds, times]`."""
    return np.mean(np.sum(data["policy"] * data["success"][..., :1, :, :], axis=-1), axis=-1)


def _starts(data: Mapping[str, np.ndarray], number: int, score: str) -> dict[str, np.ndarray]:
    """All starts of an interpolated reward: entropy, accuracy and gain `[starts, seeds]`; m = 0 for both ends."""
    reward = REWARDS.index(INTERPOLATED[number])
    curves, entropy, end = [], [], []
    for which in range(len(ENDS)):
        curves += [data[score][0, reward], *data[f"mixed/{score}"][which, :, number]]
        entropy += [data["entropy"][0, reward, :, 0], *data["mixed/entropy"][which, :, number, :, 0]]
        end += [which] * (1 + len(data["m"]))
    stacked = np.stack(curves)
    return {
        "entropy": np.stack(entropy),
        "start": stacked[:, :, 0],
        "gain": gains(stacked)[0],
        "end": np.array(end),
    }


def _slopes(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Slope of the gain in the entropy, alone and beside the accuracy of the start, and slope in that; by seed."""
    slopes = []
    for entropy, start, gain in zip(found["entropy"].T, found["start"].T, found["gain"].T, strict=True):
        ones = np.ones_like(entropy)
        alone = np.linalg.lstsq(np.stack([ones, entropy], axis=1), gain, rcond=None)[0]
        both = np.linalg.lstsq(np.stack([ones, entropy, start], axis=1), gain, rcond=None)[0]
        slopes.append([alone[1], both[1], both[2]])
    return np.array(slopes).T


def _among(names: tuple[str, ...], verdicts: list[str], what: str = "the reward is") -> str:
    """One verdict of several: of all, of those named, of none, or open for those named."""
    if len(set(verdicts)) == 1:
        return verdicts[0]
    holding = [name for name, each in zip(names, verdicts, strict=True) if each == HOLDS]
    unknown = [name for name, each in zip(names, verdicts, strict=True) if each not in (HOLDS, FAILS)]
    if not holding:
        return f"{ONLY_IF}more runs say so of {', '.join(unknown)}; fails for the rest"
    tail = f" (open: {', '.join(unknown)})" if unknown else ""
    return f"{ONLY_IF}{what} {' or '.join(holding)}{tail}"


def _number(values: np.ndarray, sign: str = "+") -> str:
    mean, half = interval(values)
    return f"{mean:{sign}.3f} ± {half:.3f}"


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Rise and fall, format, entropy of the start, kinship of the rewards, and what the theory predicts."""
    data, left_out = _sound(data)
    found = [
        _rise_and_fall(data, "with", "accuracy with format"),
        _rise_and_fall(data, "without", "accuracy ignoring format"),
        *_format(data),
        *(_by_entropy(data, score) for score in ("with", "without")),
        _kinship(data["cosine"]),
        *_direction(data),
        *_end(data),
        _certainty(data),
        *_answers(data),
        _steady(data),
    ]
    return [replace(row, measured=f"{row.measured}{left_out}") for row in found]


def _rise_and_fall(data: Mapping[str, np.ndarray], score: str, what: str) -> Verdict:
    fates, words = [], []
    for name, curves in zip(REWARDS, data[score][0], strict=True):
        fates.append(_fate(curves))
        gain, at = gains(curves)
        peak = float(np.mean(data["step"][at]))
        words.append(
            f"{name}: {curves[:, 0].mean():.2f}, peak {_number(gain)} at step {peak:.0f}, "
            f"end {_number(curves[:, -1] - curves[:, 0])}"
        )
    rlvr = data[score][0, 0]
    mean, half = interval(rlvr[:, -1] - rlvr[:, 0])
    no_fall = decided(mean - half >= 0, mean + half < 0)
    return Verdict(
        f"Under internal feedback {what} rises to a peak and ends below its start.",
        f"NFL-1; {SOURCE}; .524/.583/.454 on MATH500 at steps 0/20/80",
        "gain at the peak above zero, change at the end below zero; RLVR: no fall",
        f"{'; '.join(words)} ({data[score].shape[2]} seeds)",
        _among(INTERNAL, [_all(up, down, no_fall) for up, down in fates[1:]]),
    )


def _format(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    words, late, soon, taught_it, marks, none = [], [], [], [], [], []
    for k, name in enumerate(REWARDS[1:], start=1):
        curves, plain = data["with"][0, k], data["without"][0, k]
        gain, at = gains(curves)
        same = np.take_along_axis(plain, at[:, None], axis=-1)[:, 0] - plain[:, 0]
        change = data["announced"][0, k, :, -1] - data["announced"][0, k, :, 0]
        taught_it.append(_above(change))
        marks.append(f"{name} {_number(change)}")
        none.append(_above(gain))
        if none[-1] == HOLDS:
            first, first_plain = (x[:, 1] - x[:, 0] for x in (curves, plain))
            late.append(_above(gain - 2 * same))
            soon.append(_above(first - 2 * first_plain))
            always = gains(data["with"][1, k])[0]
            words.append(
                f"{name}: {_number(first)} with format, {_number(first_plain)} without after "
                f"{data['step'][1]} steps; {_number(gain)}, {_number(same)} at the peak, "
                f"{_number(always)} from a base that always announces"
            )
    at_peak = _all(*late) if late else decided(False, set(none) == {FAILS})
    if at_peak != HOLDS and soon and _all(*soon) == HOLDS:
        at_peak = f"{ONLY_IF}counted over the first {data['step'][1]} steps, not at the peak"
    return [
        Verdict(
            "The early gain of internal feedback is format.",
            f"NFL-3; {SOURCE}; right answers ignoring format 291/289/235",
            "where there is a gain, more than half of it is gone when format is ignored",
            "; ".join(words) if words else "no internal reward is shown to gain with format",
            at_peak,
        ),
        Verdict(
            "Internal feedback teaches the format.",
            f"NFL-3; {SOURCE}",
            "share of announced answers rises",
            "change of the share: " + "; ".join(marks),
            _among(INTERNAL, taught_it),
        ),
    ]


def _by_entropy(data: Mapping[str, np.ndarray], score: str) -> Verdict:
    words, holds = [], []
    for number, name in enumerate(INTERPOLATED):
        found = _starts(data, number, score)
        alone, both, level = _slopes(found)
        holds.append(_all(_above(alone), _above(both)))
        low = np.argmin(found["entropy"].mean(axis=-1))
        words.append(
            f"{name}: slope {_number(alone)} a nat, {_number(both)} at equal accuracy of the start (slope in "
            f"that {_number(level)}); {_number(found['gain'][low])} at {found['entropy'][low].mean():.2f} nats"
        )
    return Verdict(
        "The gain grows with the entropy of the start"
        + (", with format." if score == "with" else ", ignoring format."),
        f"NFL-2; {SOURCE}; none below some .5 nats a token",
        "slope of the gain in the entropy above zero, also at equal accuracy of the start",
        "; ".join(words),
        _among(INTERPOLATED, holds),
    )


def _kinship(cosine: np.ndarray) -> Verdict:
    pairs = [(i, j) for i in range(1, 4) for j in range(i + 1, 4)]
    nearer = lambda i, j: [_above(cosine[:, i, j] - cosine[:, 0, k]) for k in (i, j)]  # noqa: E731
    kin = [_all(_above(cosine[:, i, j]), *nearer(i, j)) for i, j in pairs]
    names = tuple(f"{REWARDS[i]} with {REWARDS[j]}" for i, j in pairs)
    words = [f"{name} {_number(cosine[:, i, j])}" for name, (i, j) in zip(names, pairs, strict=True)]
    with_rlvr = ", ".join(f"{REWARDS[i]} {_number(cosine[:, 0, i])}" for i in range(1, 5))
    away = []
    for i in range(1, 4):
        lead = cosine[:, 0, i] - np.max([cosine[:, i, j] for j in range(1, 4) if j != i], axis=0)
        if _above(lead) == HOLDS:
            away.append(f"; {REWARDS[i]} is nearer to RLVR than to its kin by {_number(lead)}")
    return Verdict(
        "Self-certainty, token entropy and trajectory log-probability are partly equivalent.",
        f"NFL-4; {SOURCE}; a theorem",
        "cosines of the exact expected gradients at the base above zero, and above those with RLVR",
        f"{'; '.join(words)} (with RLVR: {with_rlvr}){''.join(away)}",
        _among(names, kin, "the pair is"),
    )


def _centred(x: np.ndarray) -> np.ndarray:
    return x - np.mean(x, axis=-1, keepdims=True)


def _aligned(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of centred vectors, mean over questions; zero where one does not move."""
    one, other = _centred(one), _centred(other)
    norm = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.mean(np.sum(one * other, axis=-1) / np.where(norm > 0, norm, 1), axis=-1)


def _each(values: np.ndarray, sign: str = "+") -> str:
    return ", ".join(f"{name} {_number(each, sign)}" for name, each in zip(REWARDS, values, strict=True))


def _direction(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    policy, rates = data["policy"][0], np.moveaxis(data["rates"], 1, 0)
    moved = np.log(policy[:, :, 1]) - np.log(policy[:, :, 0])
    base = policy[:, :, 0]
    pulls = {"softmax": base * (rates - np.sum(base * rates, axis=-1, keepdims=True)), "natural": rates}
    cosine = {name: _aligned(moved, pull) for name, pull in pulls.items()}
    between = ", ".join(f"{x.mean():.3f}" for x in _aligned(*pulls.values()))
    formula = {"softmax": "π(R − R̄), the softmax policy gradient", "natural": "R, the natural gradient"}
    found = []
    for name, other in (("softmax", "natural"), ("natural", "softmax")):
        near = [_above(x - np.sqrt(0.5)) for x in cosine[name]]
        less = _each(cosine[name] - cosine[other])
        found.append(
            Verdict(
                "The reward of each pattern, read off the base, gives the direction in which selection starts: "
                f"{formula[name]}.",
                f"theory of this package, {name} orbit: first change of the logits",
                f"within 45°: cosine of the first change of log π above √½ (1 on the {name} orbit, on the {other} one "
                f"{between})",
                f"{_each(cosine[name])}; less that of the {other} gradient: {less}",
                _among(REWARDS, near),
            )
        )
    return found


def _end(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    policy, rates = data["policy"][0], np.moveaxis(data["rates"], 1, 0)
    first, last, predicted = (np.argmax(x, axis=-1) for x in (policy[:, :, 0], policy[:, :, -1], rates))
    agree, stay = np.mean(last == predicted, axis=-1), np.mean(last == first, axis=-1)
    common = _commonest(last)
    better = [_all(_above(a - s), _beats(a - c)) for a, s, c in zip(agree, stay, common, strict=True)]
    equal = [
        _all(_above(a - s), bounded([interval(a - c)], NEAR))
        for a, s, c in zip(agree, stay, common, strict=True)
    ]
    by_question = _among(REWARDS, better)
    as_well = [name for name, each in zip(REWARDS, equal, strict=True) if each == HOLDS]
    if HOLDS not in better and as_well:
        by_question = f"{ONLY_IF}one leader for all questions may do as well, as for {', '.join(as_well)}"
    least = np.argmin(data["success"][0, 1, :, 0], axis=-1)
    worst, foretold = np.mean(last[1] == least, axis=-1), np.mean(predicted[1] == least, axis=-1)
    mean, half = interval(worst)
    foreseen = _commonest(predicted[1])
    half_of_them = bounded([(mean - 0.5, half)], NEAR)
    paths = orbits(data["policy"][0, :, :, 0], data["success"][0, :, :, 0], rates)
    ends = np.mean(paths["softmax"][..., -1] - paths["softmax"][..., 0], axis=-1)
    peaks = {name: np.mean(np.max(path, axis=-1) - path[..., 0], axis=(1, 2)) for name, path in paths.items()}
    selection, follows, words = _selection(data)[0], [], []
    for k, name in enumerate(REWARDS):
        end, unsure = interval(ends[k])
        change = selection[k, :, -1] - selection[k, :, 0]
        follows.append(_above(np.sign(end) * change) if abs(end) > unsure else decided(False, False))
        words.append(
            f"{name} {_number(ends[k])}, {peaks['softmax'][k]:+.2f} / {peaks['natural'][k]:+.2f}; "
            f"{_number(change)}, {_number(gains(selection[k])[0])}"
        )
    return [
        Verdict(
            "It gives the pattern that leads at the end, argmax R, question by question.",
            "theory of this package: end of the orbit, of the softmax and of the natural gradient",
            "share of questions: 1; here: above the share that keeps its leader and above that of the best single "
            "leader for all questions, known in hindsight; where both are 1 these questions do not tell",
            f"{_each(agree)}; leader kept: {', '.join(f'{x.mean():.2f}' for x in stay)}; best single leader: "
            f"{', '.join(f'{x.mean():.2f}' for x in common)}",
            by_question,
        ),
        Verdict(
            "Selection gains or loses accuracy as the orbit says.",
            "theory of this package: end of the orbit, the same of both gradients, and peak of accuracy on each",
            "the change at the end has the predicted sign",
            "orbit: at the end, with each question stopped at its peak (softmax / natural); network: at the end, "
            "at its peak — " + " | ".join(words),
            _among(REWARDS, follows),
        ),
        Verdict(
            "Self-certainty ends in the worst pattern in half of the questions.",
            "design of this study: in half of the questions the wrong pattern is the surer; after QRA-4, Chen, Li, "
            "Zou, arXiv 2506.04695 v2, Thm 5.6",
            f"½ ± {NEAR}, question by question; from rewards read off the base {_number(foretold, '')}, and the "
            f"commonest leader of a run leads {_number(foreseen, '')} of its questions",
            f"{_number(worst, '')} of the questions; the commonest leader leads {_number(common[1], '')}",
            half_of_them,
        ),
    ]


def _beats(values: np.ndarray) -> str:
    """As `_above`; no difference at all does not tell."""
    mean, half = interval(values)
    return decided(mean - half > 0, mean + half < 0)


def _commonest(leaders: np.ndarray) -> Any:
    """Share of questions, the last axis, that the commonest leader leads."""
    patterns = np.arange(leaders.max() + 1)
    return np.max(np.mean(leaders[..., None] == patterns, axis=-2), axis=-1)


def _certainty(data: Mapping[str, np.ndarray]) -> Verdict:
    table = np.argmax(data["certainty"], axis=-1)
    same = np.mean(np.argmax(data["rates"][:, 1], axis=-1) == table, axis=-1)
    constant = float(_commonest(table))
    return Verdict(
        "The certainty of the answers alone says which pattern the network's own self-certainty prefers.",
        "tabular model of arXiv 2506.04695 against the mean over all tokens and the whole vocabulary",
        f"the same pattern in more questions than one pattern for all would be, {constant:.2f}; 1 in the tabular "
        "model",
        f"{_number(same, '')} ({len(same)} seeds of {len(table)} questions)",
        _above(same - constant),
    )


def _answers(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    seen = data["seen"]
    less = lambda k: [_above(seen[:, k, part] - seen[:, k, 2]) for part in (0, 1)]  # noqa: E731
    selection = _selection(data)[0]
    parts, stay = [], []
    for k, name in enumerate(REWARDS):
        chosen = selection[k, :, -1] - selection[k, :, 0]
        total = data["without"][0, k, :, -1] - data["without"][0, k, :, 0]
        moved = data["success"][0, k, :, -1] - data["success"][0, k, :, 0]
        pairs = [interval(each) for each in moved.reshape(len(moved), -1).T]
        stay.append(bounded(pairs, STILL))
        most = max(pairs, key=lambda pair: abs(pair[0]))
        shown = sum(abs(mean) - half > STILL for mean, half in pairs)
        parts.append(
            f"{name} {shown} of {len(pairs)} move, most {most[0]:+.2f} ± {most[1]:.2f}; "
            f"of {_number(total)} selection gives {_number(chosen)}"
        )
    shares = "; ".join(
        f"{REWARDS[k]} {' / '.join(f'{x:.0%}' for x in seen[:, k].mean(axis=0))}" for k in (1, 2, 3, 4)
    )
    return [
        Verdict(
            "With stop-gradient, self-certainty and token entropy reward the choice of pattern, not the answer.",
            "check, true almost by construction: after the answer only the end token is left, which is certain; theory "
            "of this package: no gradient at the last sampled decision",
            "of the reward's variance (pattern / marker / answer) the answers' share is least",
            shares,
            _among(REWARDS[1:3], [_all(*less(k)) for k in (1, 2)]),
        ),
        Verdict(
            "Success rates stay put while selection moves.",
            "QRA-6 and Assumption 5.1; Chen, Li, Zou, arXiv 2506.04695",
            f"change of every pattern's success rate in every question within ±{STILL} (ignoring format)",
            "patterns shown to move by more, and what selection alone gives of the gain: "
            + " | ".join(parts),
            _among(REWARDS, stay),
        ),
    ]


def _steady(data: Mapping[str, np.ndarray]) -> Verdict:
    selection = _selection(data)[0]
    fall = np.max(np.maximum.accumulate(selection, axis=-1) - selection, axis=-1)
    steadier = [_above(fall[k] - fall[0]) for k in range(1, len(REWARDS))]
    return Verdict(
        "RLVR moves steadily to better patterns, internal feedback wanders.",
        "QRA-6; Chen, Li, Zou, arXiv 2506.04695, Qwen2.5-3B on MATH",
        "deepest fall of selection's accuracy: larger than RLVR's",
        "; ".join(f"{name} {_number(x, '')}" for name, x in zip(REWARDS, fall, strict=True)),
        _among(INTERNAL, steadier),
    )
