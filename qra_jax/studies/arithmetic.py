"""Which way of working wins when a network learns arithmetic by reinforcement, and does the theory say so?

A small decoder is taught four procedures for sums of two and three numbers (columns, running total, split and
combine, guess; `transformer.arithmetic`), first all of them, then with the shares REF, in which the commonest is to
guess. Success rates are what the network can do. GRPO then pays for right answers that the marker announces.

Claims: the pattern with the highest success rate wins while success rates stay (QRA-6, Assumption 5.1 of Chen, Li,
Zou, arXiv 2506.04695), on the tabular orbit from the measured π_ref and p; the early gain is format (NFL-3, arXiv
2506.17219, reported for internal feedback); RL wins pass@1 and base wins pass@k at large k (PK-1, arXiv 2504.13837),
on questions like those of training and on sums of four numbers.

Measures, all on held-out questions: π(r|q) is exact, by teacher forcing; success rates are sampled with the pattern
token forced, by the same random numbers at every record. The gain of paid accuracy is split between records into
choice, Σ Δπ p̄, right answers, Σ π̄ f̄ Δp, and format, Σ π̄ (Δ(pf) − f̄ Δp), which add up to it; f is the share of
right answers that are announced. Pass@k has its unbiased estimator. The orbit starts at the base's mean π and has
its mean paid rates; the network is compared with its nearest point in total variation, so no clock is needed.

Controls: a straight line in the simplex to the best pattern in place of the orbit, and the orbit of the natural
gradient; base cooled to the entropy of the RL model; steps checked apart from answers.

Verdicts: intervals are Student's over seeds, at 95 %; a difference counts if its interval leaves out zero. The path
is on the orbit if the interval of its largest distance lies below NEAR.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from qra_jax import orbit, plot, transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.transformer.arithmetic import PATTERNS, Arithmetic, arithmetic
from qra_jax.transformer.probe import pass_at_k
from qra_jax.transformer.sampling import Questions

TITLE = "Arithmetic: which procedure wins, and is it chosen or learnt?"
SOURCE = "QRA-6; Chen, Li, Zou, arXiv 2506.04695, Assumption 5.1"
PASS_SOURCE = "PK-1; arXiv 2504.13837"
FORMAT_SOURCE = "NFL-3; arXiv 2506.17219 (there for internal feedback)"
SKILLS, REF = (0.3, 0.3, 0.3, 0.1), (0.15, 0.25, 0.1, 0.5)
"""Shares of the procedures while they are learnt, and in the base model."""
ANNOUNCED, GROUP, NEAR = 0.7, 8, 0.05
"""Chance of the marker in the corpus, rollouts of a question, and how near (total variation) is on the orbit."""
MODELS, SETS = ("base", "RL", "base, cooled"), ("2 or 3 numbers", "4 numbers")
COLORS = dict(zip(PATTERNS, (plot.CYCLE[4], plot.CYCLE[1], plot.CYCLE[0], plot.CYCLE[7]), strict=True))


class Size(NamedTuple):
    """How much is computed."""

    seeds: int
    base: int
    width: int
    depth: int
    skill_steps: int
    base_steps: int
    steps: int
    every: int
    questions: int
    forced: int
    tries: int


FULL = Size(6, 3, 32, 2, 2000, 300, 240, 12, 48, 8, 128)
QUICK = Size(2, 3, 32, 2, 1500, 150, 100, 20, 24, 8, 64)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Teach, train and read several networks."""
    size = QUICK if quick else FULL
    # After any beginning of a question one last operand of base² is held out.
    apart = 1 / size.base**2
    task = arithmetic(size.base, operands=(2, 3), mixture=REF, announced=ANNOUNCED, held=apart)
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)
    keys = jax.random.split(jax.random.key(seed), (5, size.seeds))
    base = taught(keys[:2], model, task, size)
    asked = task.draw(jax.random.key(seed + 1), size.questions, held=True)
    look = lambda params: seen(keys[4, 0], model, params, task, asked, size.forced)  # noqa: E731

    def reinforce(key: Array, params: tf.model.Params) -> tf.Run:
        return tf.train(
            key,
            model,
            params,
            task,
            algorithm=grpo(GROUP),
            steps=size.steps,
            questions=16,
            learning_rate=1e-3,
            record_every=size.every,
            probe=look,
        )

    run = tf.side_by_side(reinforce)(keys[2], base)
    wide = task.with_operands((2, 3, 4))
    truth = asked.truth
    inside = wide.ask(truth.operation, jnp.pad(truth.operands, ((0, 0), (0, 1))), truth.count)
    outside = task.with_operands((4,)).draw(jax.random.key(seed + 2), size.questions)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), inside, outside)

    def answer(key: Array, params: tf.model.Params, entropy: Array) -> dict[str, Array]:
        return tried(key, params, entropy, model, wide, both, size.tries)

    answers = tf.side_by_side(answer)
    found = [answers(keys[3], params, jnp.full(size.seeds, jnp.inf)) for params in (base, run.params)]
    found.append(answers(keys[3], base, found[1]["entropy"]))
    data = dict(run.seen) | {
        "step": run.step[0],
        "ks": 2 ** jnp.arange(int(np.log2(size.tries)) + 1),
        "status": run.status,
        "base": jnp.asarray(size.base),
        **{f"tried/{name}": jnp.stack([each[name] for each in found], axis=1) for name in found[0]},
    }
    paid = data["paid"].mean(axis=2)
    policy = data["policy"].mean(axis=2)
    for name, metric, rates in (
        ("orbit", "softmax", paid[:, 0]),
        ("natural", "natural", paid[:, 0]),
        ("orbit, mean rates", "softmax", paid.mean(axis=1)),
    ):
        data[f"near/{name}"] = jax.vmap(lambda pi, p, m=metric: nearest(pi, along(pi[0], p, m)))(
            policy, rates
        )
    data["near/line"] = jax.vmap(lambda pi, p: nearest(pi, straight(pi[0], p)))(policy, paid[:, 0])
    return {name: np.asarray(value) for name, value in data.items()}


def taught(keys: Array, model: tf.Decoder, task: Arithmetic, size: Size) -> tf.model.Params:
    """Base models: all procedures first, then their shares and the marker's."""
    skills = arithmetic(task.base, operands=task.operands, mixture=SKILLS, held=task.held / task.base**2)
    first = tf.learn(
        keys[0],
        model,
        skills.demonstrations,
        steps=size.skill_steps,
        questions=16,
        learning_rate=5e-3,
        keep=True,
    )
    return tf.learn(
        keys[1],
        model,
        task.demonstrations,
        steps=size.base_steps,
        questions=16,
        learning_rate=1e-3,
        params=first.params,
        keep=True,
    ).params


def seen(
    key: Array, model: tf.Decoder, params: tf.model.Params, task: Arithmetic, asked: Questions, forced: int
) -> dict[str, Array]:
    """π, exactly, and rates of right, paid and rightly worked answers with the pattern forced; `[N, n]`."""
    read = tf.read_out(model, params, task.show(asked))
    opening = jnp.tile(task.first_pattern + jnp.arange(task.patterns), forced)
    opening = jnp.broadcast_to(opening[None, :, None], (asked.number, len(opening), 1))
    group = opening.shape[1]
    rollouts = tf.sample(
        key, model, params, asked, group=group, length=task.length, end=task.end, opening=opening
    )
    said = task.verify(key, asked, rollouts)

    def rate(which: Array) -> Array:
        return jnp.mean(which.reshape(asked.number, forced, task.patterns).astype(jnp.float32), axis=1)

    return {
        "policy": read.policy,
        "leak": read.leak,
        "announced": read.announced,
        "right": rate(said.right),
        "paid": rate(said.right & said.formatted),
        "worked": rate(said.right & said.steps),
    }


def tried(
    key: Array,
    params: tf.model.Params,
    entropy: Array,
    model: tf.Decoder,
    task: Arithmetic,
    asked: Questions,
    tries: int,
) -> dict[str, Array]:
    """Pass@k of `SETS`, for right answers announced or not, at the temperature that gives this entropy (inf: 1)."""

    def answers(temperature: Array, group: int) -> tf.Rollouts:
        options: dict[str, Any] = {"group": group, "length": task.length, "end": task.end}
        return tf.sample(key, model, params, asked, temperature=temperature, **options)

    def uncertainty(rollouts: tf.Rollouts) -> Array:
        return jnp.mean(jnp.sum(rollouts.entropy, axis=-1))

    def halve(_: Array, bracket: Array) -> Array:
        middle = jnp.mean(bracket)
        hot = uncertainty(answers(2.0**middle, 8)) > entropy
        return jnp.where(hot, jnp.array([bracket[0], middle]), jnp.array([middle, bracket[1]]))

    found = jax.lax.fori_loop(0, 8, halve, jnp.array([-5.0, 1.0]))
    temperature = jnp.where(jnp.isinf(entropy), 1.0, 2.0 ** jnp.mean(found))
    rollouts = answers(temperature, tries)
    right = task.verify(key, asked, rollouts).right
    ks = 2 ** np.arange(int(np.log2(tries)) + 1)
    rates = jnp.stack([pass_at_k(right, int(k)) for k in ks], axis=-1)
    return {
        "passed": jnp.mean(rates.reshape(2, -1, len(ks)), axis=1),
        "entropy": uncertainty(rollouts),
        "temperature": temperature,
    }


def along(ref: Array, rates: Array, metric: str) -> Array:
    """Points of the tabular orbit, `[points, n]`."""
    problem = Problem(jnp.log(ref), rates.astype(ref.dtype))
    taus = jnp.concatenate([jnp.zeros(1), jnp.logspace(-3, 5, 1200)])
    return jnp.exp(jax.vmap(lambda tau: orbit.policy(problem, tau, metric=metric))(taus))


def straight(ref: Array, rates: Array) -> Array:
    """Points of the line to the best pattern, `[points, n]`."""
    share = jnp.linspace(0, 1, 1200)[:, None]
    return (1 - share) * ref[None] + share * jax.nn.one_hot(jnp.argmax(rates), len(ref))[None]


def nearest(path: Array, curve: Array) -> Array:
    """The point of a curve nearest in total variation to each point of a path, `[times, n]`."""
    distance = jnp.sum(jnp.abs(path[:, None] - curve[None]), axis=-1)
    return curve[jnp.argmin(distance, axis=1)]


def parts(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gain of paid accuracy up to each record, and what it is made of; `[seeds, times]`."""
    policy, right, paid = (np.asarray(data[name], float) for name in ("policy", "right", "paid"))
    total = right.sum(axis=2, keepdims=True)
    share = np.divide(paid.sum(axis=2, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    mean = lambda x: (x[:, 1:] + x[:, :-1]) / 2  # noqa: E731
    change = lambda x: np.diff(x, axis=1)  # noqa: E731
    answers = mean(share) * change(right)
    found = {
        "gain": change(policy * paid),
        "choice": change(policy) * mean(paid),
        "answers": mean(policy) * answers,
        "format": mean(policy) * (change(paid) - answers),
    }
    summed = {name: np.cumsum(value.sum(axis=3).mean(axis=2), axis=1) for name, value in found.items()}
    return {name: np.pad(value, ((0, 0), (1, 0))) for name, value in summed.items()}


def away(data: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Distance of the path from a curve in total variation, `[seeds, times]`."""
    return np.abs(data["policy"].mean(axis=2) - data[f"near/{name}"]).sum(axis=-1) / 2


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over seeds, and half of its 95 % interval."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * error)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Choice, success rates, parts of the gain, and pass@k."""
    figure, axes = plot.new((11.6, 5.6), nrows=2, ncols=2)
    _choices(data, axes[0, 0])
    _rates(data, axes[0, 1])
    _gains(data, axes[1, 0])
    _passes(data, axes[1, 1])
    return figure


def _choices(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    policy = data["policy"].mean(axis=2)
    for r, name in enumerate(PATTERNS):
        for one in policy[:, :, r]:
            ax.plot(data["step"], one, color=COLORS[name], linewidth=0.6, alpha=0.4)
        ax.plot(data["step"], policy[:, :, r].mean(axis=0), color=COLORS[name], linewidth=2, label=name)
        ax.plot(
            data["step"], data["near/orbit"][:, :, r].mean(axis=0), ":", color=COLORS[name], linewidth=1.5
        )
    ax.plot([], [], ":", color="black", label="nearest point of the orbit")
    ax.set(xlabel="GRPO steps", ylabel="share π", ylim=(-0.02, 1.02))
    ax.legend(fontsize=8)
    first, last = policy[:, 0].mean(axis=0), policy[:, -1].mean(axis=0)
    r = int(last.argmax())
    ax.set_title(f"“{PATTERNS[r]}” rises from {first[r]:.2f} to {last[r]:.2f}")


def _rates(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    right = data["right"].mean(axis=2)
    for r, name in enumerate(PATTERNS):
        mean = right[:, :, r].mean(axis=0)
        half = stats.t.ppf(0.975, len(right) - 1) * right[:, :, r].std(axis=0, ddof=1) / np.sqrt(len(right))
        ax.plot(data["step"], mean, color=COLORS[name], linewidth=2, label=name)
        ax.fill_between(data["step"], mean - half, mean + half, color=COLORS[name], alpha=0.15, linewidth=0)
    ax.set(xlabel="GRPO steps", ylabel="success rate p", ylim=(-0.02, 1.02))
    moved = right[:, -1].mean(axis=0) - right[:, 0].mean(axis=0)
    r = int(np.abs(moved).argmax())
    ax.set_title(f"Success rates: {PATTERNS[r]} moves by {moved[r]:+.2f}")


def _gains(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    made = {name: value.mean(axis=0) for name, value in parts(data).items()}
    colors = {"choice": plot.BEST, "answers": plot.CYCLE[2], "format": plot.CYCLE[3]}
    names = {
        "choice": "choice of procedure",
        "answers": "rates of right answers",
        "format": "format (marker)",
    }
    for name, color in colors.items():
        ax.plot(data["step"], made[name], color=color, linewidth=2, label=names[name])
    ax.plot(data["step"], made["gain"], color="black", linewidth=2, label="all")
    ax.axhline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(xlabel="GRPO steps", ylabel="gain of paid accuracy")
    ax.legend(fontsize=8)
    ax.set_title(f"Choice makes {made['choice'][-1] / made['gain'][-1]:.0%} of the gain")


def _passes(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    passed = data["tried/passed"].mean(axis=0)
    colors = {"base": "black", "RL": plot.color("GRPO"), "base, cooled": plot.MUTED}
    for i, model in enumerate(MODELS):
        for j, kind in enumerate(SETS):
            style: dict[str, Any] = {"color": colors[model], "linestyle": "-" if j == 0 else "--"}
            ax.plot(data["ks"], passed[i, j], linewidth=2, label=f"{model}, {kind}", **style)
    ax.set(xscale="log", xlabel="number of tries k", ylabel="mean pass@k", ylim=(0, 1.02))
    ax.legend(fontsize=7.5, ncols=1, loc="lower right")
    lost = passed[1, :, -1] - passed[0, :, -1]
    ax.set_title(f"RL − base at k = {data['ks'][-1]}: {lost[0]:+.2f}; four numbers {lost[1]:+.2f}")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """The rules are in the module's docstring."""
    policy, paid, right = (data[name].mean(axis=2) for name in ("policy", "paid", "right"))
    seeds = len(policy)
    best, last_best, winner = paid[:, 0].argmax(-1), paid[:, -1].argmax(-1), policy[:, -1].argmax(-1)
    names = ", ".join(PATTERNS[r] for r in winner)
    top = policy[np.arange(seeds), -1, winner]
    changes = [interval(right[:, -1, r] - right[:, 0, r]) for r in range(len(PATTERNS))]
    # Four rates are looked at: each has to leave out zero at 95 % / 4.
    wider = stats.t.ppf(1 - 0.025 / 4, seeds - 1) / stats.t.ppf(0.975, seeds - 1)
    stay = all(abs(mean) <= wider * half for mean, half in changes)
    made = parts(data)
    share, share_half = interval(made["choice"][:, -1] / made["gain"][:, -1])
    early = _early(made)
    far, far_half = interval(away(data, "orbit").max(axis=1))
    other = {
        name: interval(away(data, name).max(axis=1)) for name in ("orbit, mean rates", "natural", "line")
    }
    better, better_half = interval((away(data, "line") - away(data, "orbit")).mean(axis=1))
    marked = (data["policy"] * data["announced"]).sum(axis=-1).mean(axis=2)
    learnt, learnt_half = interval(marked[:, -1] - marked[:, 0])
    worked = [_worked(data, at) for at in (0, -1)]
    cleaner, cleaner_half = interval(worked[1] - worked[0])
    return [
        Verdict(
            "RLVR selects the procedure with the highest success rate of the base model.",
            SOURCE,
            f"the likeliest procedure after training has the highest paid rate before, in {seeds} of {seeds} seeds",
            f"{(best == winner).sum()} of {seeds} (highest at the end: {(last_best == winner).sum()}); winners "
            f"{names}, with shares {top.min():.2f} … {top.max():.2f}; base rates "
            + ", ".join(
                f"{name} {p:.2f} (π {q:.2f})"
                for name, p, q in zip(PATTERNS, paid[:, 0].mean(0), policy[:, 0].mean(0), strict=True)
            ),
            _wins(best == winner, last_best == winner),
        ),
        Verdict(
            "Success rates stay put while the selection of procedures moves.",
            SOURCE,
            "change of each success rate: 0 (95 % intervals over seeds, for four rates at once)",
            ", ".join(
                f"{name} {mean:+.3f} ± {half:.3f}"
                for name, (mean, half) in zip(PATTERNS, changes, strict=True)
            ),
            verdict(stay),
        ),
        Verdict(
            "All of the gain is selection: Σ Δπ p.",
            SOURCE,
            "share of choice in the gain of paid accuracy: 1",
            f"{share:.2f} ± {share_half:.2f} of {made['gain'][:, -1].mean():+.3f}; right answers "
            f"{(made['answers'] / made['gain'][:, -1:])[:, -1].mean():.2f}, format "
            f"{(made['format'] / made['gain'][:, -1:])[:, -1].mean():.2f}",
            verdict(share + share_half >= 1),
        ),
        Verdict(
            "The choice of procedures moves along the tabular orbit from π_ref and p of the base model.",
            SOURCE + "; the orbit is derived here",
            f"largest distance in total variation below {NEAR}, and nearer than a straight line",
            f"{far:.3f} ± {far_half:.3f}; with rates averaged over training "
            + ", ".join(
                f"{name if name != 'orbit, mean rates' else ''} {mean:.3f} ± {half:.3f}".strip()
                for name, (mean, half) in other.items()
            )
            + f"; line − orbit, mean along the path {better:+.3f} ± {better_half:.3f}",
            verdict(far + far_half < NEAR and better > better_half),
        ),
        Verdict(
            "The early gain is format.",
            FORMAT_SOURCE,
            "share of format above ½ in the first half of the gain",
            f"{early[0]:.2f} ± {early[1]:.2f}",
            verdict(early[0] - early[1] > 0.5),
        ),
        Verdict(
            "A reward that asks for the marker teaches it.",
            FORMAT_SOURCE,
            "chance of the marker, Σ π P(marker): rises",
            f"{marked[:, 0].mean():.2f} → {marked[:, -1].mean():.3f} ({learnt:+.3f} ± {learnt_half:.3f})",
            verdict(learnt > learnt_half),
        ),
        Verdict(
            "Paying for answers alone makes the steps right, too.",
            "QRA-6 read for the steps: the answer is right because of the steps",
            "share with right steps among right answers of procedures that write steps: rises",
            f"{worked[0].mean():.3f} → {worked[1].mean():.3f} ({cleaner:+.3f} ± {cleaner_half:.3f})",
            verdict(cleaner > cleaner_half),
        ),
        *(_crossover(data, kind) for kind in range(2)),
        _cooled(data),
    ]


def _wins(first: np.ndarray, last: np.ndarray) -> str:
    if last.all() and not first.all():
        return ONLY_IF + "success rates are those at the end of training"
    return verdict(first.all())


def _early(made: dict[str, np.ndarray]) -> tuple[float, float]:
    """Share of format in the gain up to the record where half of all of it is made."""
    half = (made["gain"] >= made["gain"][:, -1:] / 2) & (np.arange(made["gain"].shape[1]) > 0)
    at = (np.arange(len(half)), half.argmax(axis=1))
    return interval(made["format"][at] / made["gain"][at])


def _worked(data: Mapping[str, np.ndarray], at: int) -> np.ndarray:
    """Share with right steps among right answers, without guesses, which have none; `[seeds]`."""
    policy, right, worked = (
        np.asarray(data[name][:, at, :, :-1], float) for name in ("policy", "right", "worked")
    )
    total = (policy * right).sum(axis=(1, 2))
    return np.divide((policy * worked).sum(axis=(1, 2)), total, out=np.zeros_like(total), where=total > 0)


def _gap(data: Mapping[str, np.ndarray], kind: int, k: int, model: int = 0) -> tuple[float, float]:
    """RL − base, in pass@k of a set of questions."""
    passed = data["tried/passed"][:, :, kind, k]
    return interval(passed[:, 1] - passed[:, model])


def _crossover(data: Mapping[str, np.ndarray], kind: int) -> Verdict:
    ks, passed = data["ks"], data["tried/passed"].mean(axis=0)
    (near, near_half), (far, far_half) = (_gap(data, kind, at) for at in (0, -1))
    return Verdict(
        f"RL wins pass@1 and base wins pass@k at large k: sums of {SETS[kind]}.",
        PASS_SOURCE,
        f"RL − base above 0 at k = 1, below 0 at k = {ks[-1]} (unbiased estimator)",
        f"{near:+.3f} ± {near_half:.3f} at k = 1 (base {passed[0, kind, 0]:.2f}), {far:+.3f} ± {far_half:.3f} at "
        f"k = {ks[-1]} (base {passed[0, kind, -1]:.2f})",
        verdict(near > near_half and far < -far_half),
    )


def _cooled(data: Mapping[str, np.ndarray]) -> Verdict:
    gaps = [_gap(data, kind, -1, model=2) for kind in range(2)]
    entropy = data["tried/entropy"].mean(axis=0)
    return Verdict(
        "What base wins at large k is more than entropy: base cooled to the entropy of the RL model wins, too.",
        PASS_SOURCE,
        f"RL − cooled base below 0 at k = {data['ks'][-1]}, on both sets",
        "; ".join(f"{kind} {mean:+.3f} ± {half:.3f}" for kind, (mean, half) in zip(SETS, gaps, strict=True))
        + f" (nats a sequence: base {entropy[0]:.2f}, RL {entropy[1]:.2f}, cooled {entropy[2]:.2f}; temperature "
        f"{data['tried/temperature'][:, 2].mean():.2f})",
        verdict(all(mean < -half for mean, half in gaps)),
    )
