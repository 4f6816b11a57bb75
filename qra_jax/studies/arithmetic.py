"""Which way of working wins when a network learns arithmetic by reinforcement, and does the theory say so?

A small decoder is taught four procedures for sums of two and three numbers (columns, running total, split and
combine, guess; `transformer.procedures`), first all of them, then with the shares REF, in which the commonest is to
guess. Success rates are what the network can do. GRPO then pays for right answers that the marker announces. The quick
version only shows that everything runs: base 2 in place of 3, and procedures and shares taught at once.

Claims: the pattern with the highest success rate wins while success rates stay (QRA-6, Assumption 5.1 of Chen, Li,
Zou, arXiv 2506.04695), on the tabular orbit from the measured π_ref and p; the early gain is format (NFL-3, arXiv
2506.17219, reported for internal feedback); RL wins pass@1 and base wins pass@k at large k (PK-1, arXiv 2504.13837),
on questions like those of training and on sums of four numbers.

Measures: π(r|q) is exact, by teacher forcing; success rates are sampled with the pattern token forced, by the same
random numbers at every record. What the theory speaks of is measured on questions like those of training, and beside
it on held-out ones; pass@k and steps on held-out ones, pass@k for right answers and for those with right steps too: a
guess is right with chance 1/b². The gain of paid accuracy is split between records into choice, Σ Δπ p̄, right answers,
Σ π̄ f̄ Δp, and format, Σ π̄ (Δ(pf) − f̄ Δp), which add up to it; f is the share of right answers that are announced.
Pass@k has its unbiased estimator. The orbit starts at the base's mean π and has its mean paid rates; the network is
compared with its nearest point in total variation, so no clock is needed. That is a path of means: how far questions
part is said beside it, and how much of the policy starts with no pattern.

Controls: a straight line in the simplex to the best pattern in place of the orbit, and the orbit of the natural
gradient; base cooled to the entropy of the RL model; steps checked apart from answers.

Verdicts: intervals are Student's over seeds, at 95 %. A claim of a sign holds if its interval has that sign, fails if
it has the other one, and else is open. Quantities that stay have intervals inside ±SAME, and move if one lies outside.
The winner of a seed is the best if no other rate is above its own by more than SAME (upper ends at 95 %, over
questions), and is not if some rate is above its own, at 2.5 % / (seeds × rivals). The path is on the orbit if the
interval of its largest distance lies below NEAR, and off it above. Seeds that end in no finite numbers are left out
and counted. With the two seeds of the quick version intervals say little.
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
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.problem import Problem
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, bounded, decided, interval
from qra_jax.trajectory import Status
from qra_jax.transformer.procedures import PATTERNS, Arithmetic, arithmetic
from qra_jax.transformer.sampling import Questions

TITLE = "Arithmetic: which procedure wins, and is it chosen or learnt?"
SOURCE = "QRA-6; Chen, Li, Zou, arXiv 2506.04695, Assumption 5.1"
PASS_SOURCE = "PK-1; arXiv 2504.13837"
FORMAT_SOURCE = "NFL-3; arXiv 2506.17219 (there for internal feedback)"
SKILLS, REF = (0.3, 0.3, 0.3, 0.1), (0.15, 0.25, 0.1, 0.5)
"""Shares of the procedures while they are learnt, and in the base model."""
ANNOUNCED, GROUP, NEAR, SAME = 0.7, 8, 0.05, 0.02
"""Chance of the marker in the corpus, rollouts of a question, how near (total variation) is on the orbit, and up to
what two rates are the same."""
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


FULL = Size(6, 3, 32, 2, 2000, 300, 240, 15, 48, 8, 128)
QUICK = Size(2, 2, 24, 1, 0, 400, 40, 10, 16, 4, 32)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Teach, train and read several networks."""
    size = QUICK if quick else FULL
    # After any beginning of a question one last operand of base² is held out.
    apart = 1 / size.base**2
    task = arithmetic(size.base, operands=(2, 3), mixture=REF, announced=ANNOUNCED, held=apart)
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)
    keys = jax.random.split(jax.random.key(seed), (5, size.seeds))
    base = taught(keys[:2], model, task, size)
    draw = jax.jit(lambda task, key, held: task.draw(key, size.questions, held=held), static_argnums=2)
    trained, held = (draw(task, jax.random.key(seed + 1), held) for held in (False, True))
    asked = jax.tree.map(lambda *parts: jnp.concatenate(parts), trained, held)
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
    truth = held.truth
    inside = wide.ask(truth.operation, jnp.pad(truth.operands, ((0, 0), (0, 1))), truth.count)
    outside = draw(task.with_operands((4,)), jax.random.key(seed + 2), False)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), inside, outside)

    def answer(key: Array, params: tf.model.Params, entropy: Array) -> dict[str, Array]:
        return tried(key, params, entropy, model, wide, both, size.tries)

    answers = tf.side_by_side(answer)
    found = [
        answers(keys[3], params, jnp.full(size.seeds, jnp.inf, jnp.float32)) for params in (base, run.params)
    ]
    found.append(answers(keys[3], base, found[1]["entropy"]))
    data = dict(run.seen) | {
        "step": run.step[0],
        "ks": 2 ** jnp.arange(int(np.log2(size.tries)) + 1),
        "status": run.status,
        "base": jnp.asarray(size.base),
        **{f"tried/{name}": jnp.stack([each[name] for each in found], axis=1) for name in found[0]},
    }
    paid, policy = (data[name][:, :, : size.questions].mean(axis=2) for name in ("paid", "policy"))
    data |= jax.jit(jax.vmap(compared))(policy, paid)
    return {name: np.asarray(value) for name, value in data.items()}


def taught(keys: Array, model: tf.model.Model, task: Arithmetic, size: Size) -> tf.model.Params:
    """Base models: all procedures first, then their shares and the marker's; all at once with no steps for skills."""

    def learn(keys: Array, task: Arithmetic, steps: int, rate: float, params: Any = None) -> tf.model.Params:
        options: dict[str, Any] = {"steps": steps, "learning_rate": rate, "params": params, "keep": True}
        return tf.learn(keys, model, task.demonstrations, questions=16, **options).params

    if not size.skill_steps:
        return learn(keys[1], task, size.base_steps, 5e-3)
    skills = arithmetic(task.base, operands=task.operands, mixture=SKILLS, held=task.held / task.base**2)
    first = learn(keys[0], skills, size.skill_steps, 5e-3)
    return learn(keys[1], task, size.base_steps, 1e-3, first)


def seen(
    key: Array,
    model: tf.model.Model,
    params: tf.model.Params,
    task: Arithmetic,
    asked: Questions,
    forced: int,
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
    model: tf.model.Model,
    task: Arithmetic,
    asked: Questions,
    tries: int,
) -> dict[str, Array]:
    """Pass@k of `SETS` at the temperature that gives this entropy (inf: 1): right answers, rightly worked ones."""

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
    said = task.verify(key, asked, rollouts)
    ks = 2 ** np.arange(int(np.log2(tries)) + 1)

    def passes(which: Array) -> Array:
        rates = jnp.stack([pass_at_k_estimate(which, int(k)) for k in ks], axis=-1)
        return jnp.mean(rates.reshape(2, -1, len(ks)), axis=1)

    return {
        "passed": passes(said.right),
        "worked": passes(said.right & said.steps & (said.pattern != PATTERNS.index("guess"))),
        "entropy": uncertainty(rollouts),
        "temperature": temperature,
    }


def along(ref: Array, rates: Array, geometry: str) -> Array:
    """Points of the tabular orbit, `[points, n]`."""
    problem = Problem(jnp.log(ref), rates.astype(ref.dtype))
    taus = jnp.concatenate([jnp.zeros(1), jnp.logspace(-3, 5, 1200)])
    return jnp.exp(jax.vmap(lambda tau: orbit.policy(problem, tau, geometry=geometry))(taus))


def compared(policy: Array, paid: Array) -> dict[str, Array]:
    """Nearest points of some curves to a path `[times, n]` whose paid rates are `[times, n]`."""
    share = jnp.linspace(0, 1, 1200)[:, None]
    start, goal = policy[:1], jax.nn.one_hot(jnp.argmax(paid[:1], axis=-1), paid.shape[1])
    curves = {
        "orbit": along(policy[0], paid[0], "softmax"),
        "orbit, mean rates": along(policy[0], paid.mean(axis=0), "softmax"),
        "natural": along(policy[0], paid[0], "natural"),
        "line": (1 - share) * start + share * goal,
    }
    return {f"near/{name}": nearest(policy, curve) for name, curve in curves.items()}


def nearest(path: Array, curve: Array) -> Array:
    """The point of a curve nearest in total variation to each point of a path, `[times, n]`."""
    distance = jnp.sum(jnp.abs(path[:, None] - curve[None]), axis=-1)
    return curve[jnp.argmin(distance, axis=1)]


def of(data: Mapping[str, np.ndarray], name: str, kind: int) -> np.ndarray:
    """What was measured on questions like those of training (0), or on held-out ones (1); `[seeds, times, N, …]`."""
    both = np.asarray(data[name], float)
    return np.split(both, 2, axis=2)[kind]


def parts(data: Mapping[str, np.ndarray], kind: int) -> dict[str, np.ndarray]:
    """The gain of paid accuracy up to each record, and what it is made of; `[seeds, times]`."""
    policy, right, paid = (of(data, name, kind) for name in ("policy", "right", "paid"))
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
    return np.abs(of(data, "policy", 0).mean(axis=2) - data[f"near/{name}"]).sum(axis=-1) / 2


def changes(data: Mapping[str, np.ndarray], kind: int) -> list[tuple[float, float]]:
    """Change of each procedure's rate of right answers, with its interval."""
    right = of(data, "right", kind).mean(axis=2)
    return [interval(change) for change in (right[:, -1] - right[:, 0]).T]


def sound(data: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """Data of the seeds that ended in finite numbers, and how many did not."""
    kept, seeds = np.asarray(data["status"]) == Status.OK, len(data["status"])
    own = [name for name in data if name not in ("step", "ks", "base")]
    for name in own:
        kept = kept & np.isfinite(data[name]).reshape(seeds, -1).all(axis=1)
    return {name: data[name][kept] if name in own else data[name] for name in data}, int((~kept).sum())


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Choice, success rates, parts of the gain, and pass@k."""
    figure, axes = plot.new((12.4, 6.4), nrows=2, ncols=2)
    data, lost = sound(data)
    if not len(data["policy"]):
        axes[0, 0].set_title(f"None of {lost} seeds ended in finite numbers")
        return figure
    _choices(data, axes[0, 0])
    _rates(data, axes[0, 1])
    _gains(data, axes[1, 0])
    _passes(data, axes[1, 1])
    return figure


def _legend(ax: Axes, **options: Any) -> None:
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), **options)


def _choices(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    policy = of(data, "policy", 0).mean(axis=2)
    for r, name in enumerate(PATTERNS):
        for one in policy[:, :, r]:
            ax.plot(data["step"], one, color=COLORS[name], linewidth=0.6, alpha=0.5)
        ax.plot(data["step"], policy[:, :, r].mean(axis=0), color=COLORS[name], linewidth=2, label=name)
        ax.plot(
            data["step"], data["near/orbit"][:, :, r].mean(axis=0), ":", color=COLORS[name], linewidth=1.5
        )
    ax.plot([], [], ":", color="black", label="nearest points\nof the orbit")
    ax.set(xlabel="GRPO steps", ylabel="share π", ylim=(-0.02, 1.02))
    _legend(ax)
    winner = policy[:, -1].argmax(axis=-1)
    counts = [f"{PATTERNS[r]} in {(winner == r).sum()}" for r in np.unique(winner)]
    ax.set_title(f"Winners: {', '.join(counts)} of {len(winner)} seeds")


def _rates(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    right, policy = of(data, "right", 0).mean(axis=2), of(data, "policy", 0).mean(axis=2)
    ax.plot([0, 1], [0, 1], color=plot.MUTED, linewidth=1, zorder=0)
    for r, name in enumerate(PATTERNS):
        before, after, share = right[:, 0, r], right[:, -1, r], policy[:, -1, r]
        ax.scatter(before, after, 20 + 150 * share, color=COLORS[name], edgecolor="white", label=name)
    ax.set(xlabel="success rate before RL", ylabel="success rate after", xlim=(0, 1.04), ylim=(0, 1.04))
    legend = ax.legend(
        fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), title="size: share π\nafter RL"
    )
    legend.get_title().set_fontsize(8)
    for handle in legend.legend_handles:
        handle.set_sizes([30.0])  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    change = right[:, -1] - right[:, 0]
    ax.set_title(f"Success rates change by {change.min():+.2f} … {change.max():+.2f}")


def _gains(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    made = {name: value.mean(axis=0) for name, value in parts(data, 0).items()}
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
    _legend(ax)
    ax.set_title(f"Choice makes {_share(parts(data, 0), 'choice').mean():.0%} of the gain")


def _passes(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    name = "worked" if "tried/worked" in data else "passed"
    passed = data[f"tried/{name}"].mean(axis=0)
    colors = {"base": "black", "RL": plot.color("GRPO"), "base, cooled": plot.MUTED}
    for i, model in enumerate(MODELS):
        for j, kind in enumerate(SETS):
            style: dict[str, Any] = {"color": colors[model], "linestyle": "-" if j == 0 else "--"}
            ax.plot(data["ks"], passed[i, j], linewidth=2, label=f"{model}:\n{kind}", **style)
    ax.plot(data["ks"], _guessed(data), ":", color=plot.MUTED, label="answers guessed\nby chance")
    ax.set(xscale="log", xlabel="number of tries k", ylabel="mean pass@k", ylim=(0, 1.02))
    _legend(ax)
    lost = passed[1, :, -1] - passed[0, :, -1]
    with_steps = "with right steps" if name == "worked" else "answers alone"
    ax.set_title(
        f"RL − base at k = {data['ks'][-1]}, {with_steps}: {lost[0]:+.2f}; four numbers {lost[1]:+.2f}"
    )


def _guessed(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pass@k of answers drawn evenly, `[ks]`."""
    return 1 - (1 - 1 / float(data["base"]) ** 2) ** np.asarray(data["ks"], float)


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """The rules are in the module's docstring."""
    data, lost = sound(data)
    claim = "RLVR selects the procedure with the highest success rate of the base model."
    if not len(data["policy"]):
        said = f"none of {lost} seeds ended in finite numbers"
        return [Verdict(claim, SOURCE, "seeds that end in finite numbers", said, decided(False, False))]
    policy, paid = of(data, "policy", 0), of(data, "paid", 0)
    mean, seeds = policy.mean(axis=2), len(policy)
    winner = mean[:, -1].argmax(axis=-1)
    names, top = ", ".join(PATTERNS[r] for r in winner), mean[np.arange(seeds), -1, winner]
    first, last = (placed(paid[:, at], winner) for at in (0, -1))
    rates = [
        f"{name} {p:.2f} (π {q:.2f})"
        for name, p, q in zip(PATTERNS, paid[:, 0].mean(axis=(0, 1)), mean[:, 0].mean(axis=0), strict=True)
    ]
    moved, moved_held = changes(data, 0), changes(data, 1)
    single = np.diff(of(data, "right", 0).mean(axis=2)[:, [0, -1]], axis=1)
    made, made_held = parts(data, 0), parts(data, 1)
    share, answers, format_ = (interval(_share(made, name)) for name in ("choice", "answers", "format"))
    held_share = interval(_share(made_held, "choice"))
    early = _early(made)
    far = interval(away(data, "orbit").max(axis=1))
    other = {
        name: interval(away(data, name).max(axis=1)) for name in ("orbit, mean rates", "natural", "line")
    }
    better = interval((away(data, "line") - away(data, "orbit")).mean(axis=1))
    spread, leak = policy.std(axis=2).max(axis=-1), of(data, "leak", 0)
    marked = (policy * of(data, "announced", 0)).sum(axis=-1).mean(axis=2)
    learnt = interval(marked[:, -1] - marked[:, 0])
    worked = [_worked(data, at) for at in (0, -1)]
    cleaner = interval(worked[1] - worked[0])
    return [
        Verdict(
            claim,
            SOURCE,
            f"the likeliest procedure after training had the highest paid rate before, up to {SAME}, in every seed",
            f"strictly highest in {first.strict.sum()} of {seeds}, up to {SAME} in {first.best.sum()}, shown below "
            f"another in {first.below.sum()} (afterwards: {last.strict.sum()}, {last.best.sum()}, "
            f"{last.below.sum()}); winners {names}, with shares {top.min():.2f} … {top.max():.2f}; base "
            f"{', '.join(rates)}" + (f"; {lost} seeds without finite numbers left out" if lost else ""),
            _wins(first, last),
        ),
        Verdict(
            "Success rates stay put while the selection of procedures moves.",
            SOURCE,
            f"mean change of the rate of right answers of each procedure: interval inside ± {SAME}",
            f"{_each(moved)} (single seeds {single.min():+.2f} … {single.max():+.2f}); held-out questions: "
            f"{_each(moved_held)}; choice makes {_said(share)} of the gain",
            bounded(moved, SAME),
        ),
        Verdict(
            "All of the gain is selection: Σ Δπ p.",
            SOURCE,
            f"share of choice in the gain of paid accuracy: interval inside 1 ± {SAME}",
            f"{_said(share)} of {made['gain'][:, -1].mean():+.3f}; right answers {_said(answers)}, format "
            f"{_said(format_)}; on held-out questions choice {_said(held_share)} of "
            f"{made_held['gain'][:, -1].mean():+.3f}",
            bounded([(share[0] - 1, share[1])], SAME),
        ),
        Verdict(
            "The choice of procedures, a mean over questions, moves along the tabular orbit from π_ref and p of the "
            "base model.",
            SOURCE + "; the orbit is derived here",
            f"largest distance in total variation below {NEAR}, and nearer than a straight line",
            f"{_said(far, 3)}; with rates averaged over training "
            + ", ".join(
                f"{name if name != 'orbit, mean rates' else ''} {_said(pair, 3)}".strip()
                for name, pair in other.items()
            )
            + f"; line − orbit, mean along the path {better[0]:+.3f} ± {better[1]:.3f}; standard deviation of π over "
            f"questions up to {spread.max():.2f} (at the end {spread[:, -1].mean():.2f} on average), share that starts "
            f"with no pattern {leak.mean():.4f}, {leak.max():.2f} at most",
            decided(
                far[0] + far[1] < NEAR and better[0] > better[1],
                far[0] - far[1] > NEAR or better[0] < -better[1],
            ),
        ),
        Verdict(
            "The early gain is format.",
            FORMAT_SOURCE,
            "share of format above ½ in the first half of the gain",
            _said(early),
            above((early[0] - 0.5, early[1])),
        ),
        Verdict(
            "Check: a reward that asks for the marker teaches it.",
            "true by construction; what is measured is how far",
            "chance of the marker, Σ π P(marker): rises",
            f"{marked[:, 0].mean():.2f} → {marked[:, -1].mean():.3f} ({learnt[0]:+.3f} ± {learnt[1]:.3f})",
            above(learnt),
        ),
        Verdict(
            "Paying for answers alone makes the steps right, too.",
            "QRA-6 read for the steps: the answer is right because of the steps",
            "share with right steps among right answers of procedures that write steps: rises",
            f"{worked[0].mean():.3f} → {worked[1].mean():.3f} ({cleaner[0]:+.3f} ± {cleaner[1]:.3f})",
            above(cleaner),
        ),
        *(_crossover(data, kind) for kind in range(2)),
        _cooled(data),
    ]


def above(pair: tuple[float, float]) -> str:
    """Whether an interval lies above zero (holds), below it (fails), or neither."""
    return decided(pair[0] > pair[1], pair[0] < -pair[1])


class Placed(NamedTuple):
    """Where the rates of the winners stand, `[seeds]`."""

    strict: np.ndarray
    """No other rate is as high."""
    best: np.ndarray
    """No other one is above it by more than SAME."""
    below: np.ndarray
    """Another one is above it, as far as chance allows to say."""


def placed(rates: np.ndarray, winner: np.ndarray) -> Placed:
    """Compare the rate of each seed's winner with the others, question by question; rates `[seeds, N, n]`."""
    seeds, number, n = rates.shape
    ahead = rates - np.take_along_axis(rates, winner[:, None, None], axis=-1)
    mean, error = ahead.mean(axis=1), ahead.std(axis=1, ddof=1) / np.sqrt(number)
    rival = np.arange(n) != winner[:, None]
    top = (mean + stats.norm.ppf(0.975) * error <= SAME) | ~rival
    over = (mean > stats.norm.ppf(1 - 0.025 / (seeds * (n - 1))) * error) & rival
    return Placed(((mean < 0) | ~rival).all(axis=-1), top.all(axis=-1), over.any(axis=-1))


def _wins(first: Placed, last: Placed) -> str:
    found = decided(first.best.all(), first.below.any())
    if found == FAILS and decided(last.best.all(), last.below.any()) == HOLDS:
        return ONLY_IF + "success rates are those at the end of training"
    return found


def _each(pairs: list[tuple[float, float]]) -> str:
    return ", ".join(
        f"{name} {mean:+.3f} ± {half:.3f}" for name, (mean, half) in zip(PATTERNS, pairs, strict=True)
    )


def _early(made: dict[str, np.ndarray]) -> tuple[float, float]:
    """Share of format in the gain up to the record where half of all of it is made."""
    half = (made["gain"] >= made["gain"][:, -1:] / 2) & (np.arange(made["gain"].shape[1]) > 0)
    at = np.where(half.any(axis=1), half.argmax(axis=1), -1)
    seeds = np.arange(len(half))
    return interval(_share({name: value[seeds, at][:, None] for name, value in made.items()}, "format"))


def _share(made: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Share of a part in the gain at the end, NaN where nothing was gained; `[seeds]`."""
    part, gain = made[name][:, -1], made["gain"][:, -1]
    return np.divide(part, gain, out=np.full_like(gain, np.nan), where=gain != 0)


def _said(found: tuple[float, float], digits: int = 2) -> str:
    return f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def _worked(data: Mapping[str, np.ndarray], at: int) -> np.ndarray:
    """Share with right steps among right answers, without guesses, which have none; `[seeds]`."""
    policy, right, worked = (of(data, name, 1)[:, at, :, :-1] for name in ("policy", "right", "worked"))
    total = (policy * right).sum(axis=(1, 2))
    return np.divide((policy * worked).sum(axis=(1, 2)), total, out=np.zeros_like(total), where=total > 0)


def _gap(data: Mapping[str, np.ndarray], name: str, kind: int, k: int, model: int = 0) -> tuple[float, float]:
    """RL − base, in pass@k of a set of questions."""
    passed = data[f"tried/{name}"][:, :, kind, k]
    return interval(passed[:, 1] - passed[:, model])


def _crossover(data: Mapping[str, np.ndarray], kind: int) -> Verdict:
    k, found, said = data["ks"][-1], decided(False, False), []
    for name, words in (("worked", "with right steps"), ("passed", "answers alone")):
        if f"tried/{name}" not in data:
            said.append(f"{words}: not recorded")
            continue
        near, far = (_gap(data, name, kind, at) for at in (0, -1))
        base = data[f"tried/{name}"][:, 0, kind].mean(axis=0)
        if name == "worked":
            found = decided(near[0] > near[1] and far[0] < -far[1], near[0] < -near[1] or far[0] > far[1])
        said.append(
            f"{words}: {near[0]:+.3f} ± {near[1]:.3f} at k = 1 (base {base[0]:.2f}), {far[0]:+.3f} ± {far[1]:.3f} at "
            f"k = {k} (base {base[-1]:.2f})"
        )
    return Verdict(
        f"RL wins pass@1 and base wins pass@k at large k: sums of {SETS[kind]}.",
        PASS_SOURCE,
        f"RL − base above 0 at k = 1, below 0 at k = {k}, with right steps (unbiased estimator)",
        "; ".join(said) + f"; an even guess of the answer passes {_guessed(data)[-1]:.2f}",
        found,
    )


def _cooled(data: Mapping[str, np.ndarray]) -> Verdict:
    found, said = decided(False, False), []
    for name, words in (("worked", "with right steps"), ("passed", "answers alone")):
        if f"tried/{name}" not in data:
            said.append(f"{words}: not recorded")
            continue
        gaps = [_gap(data, name, kind, -1, model=2) for kind in range(2)]
        if name == "worked":
            found = decided(all(x < -half for x, half in gaps), any(x > half for x, half in gaps))
        each = (f"{kind} {mean:+.3f} ± {half:.3f}" for kind, (mean, half) in zip(SETS, gaps, strict=True))
        said.append(f"{words}: {', '.join(each)}")
    entropy = data["tried/entropy"].mean(axis=0)
    return Verdict(
        "What base wins at large k is more than entropy: base cooled to the entropy of the RL model wins, too.",
        PASS_SOURCE,
        f"RL − cooled base below 0 at k = {data['ks'][-1]}, on both sets, with right steps",
        "; ".join(said)
        + f" (nats a sequence: base {entropy[0]:.2f}, RL {entropy[1]:.2f}, cooled {entropy[2]:.2f}; "
        f"temperature {data['tried/temperature'][:, 2].mean():.2f})",
        found,
    )
