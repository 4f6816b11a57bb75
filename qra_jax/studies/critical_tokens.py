"""At which tokens does RL change a network, and is a change of rank the way to find them?

Claim QRA-7 (Chen, Li, Zou, arXiv 2506.04695): RL changes the probability *rank* of few of the tokens that the tuned
network emits, 5.2 → 7.3 % (RLVR) and 6.8 → 10.1 % (RLIF) at steps 20 → 100 on GSM8K (MATH: 5.3 → 6.6 and
6.1 → 8.8), and these are the tokens where reasoning is chosen.

A decoder is pre-trained on the controlled task (the worked example, marker left out now and then) and trained by
GRPO on verified answers (RLVR) or on self-certainty (RLIF). At every checkpoint it is compared with its base place
by place, on sequences sampled from the tuned network and on ones sampled from the base: rank of the emitted token,
likeliest token, KL(now‖base), cosine of the features; by kind of token (pattern, step, marker, answer, end).

A sequence here has three decisions (pattern, marker, answer) whatever its length, a language model's has many
tokens for each: so the share of decisions, and with it any ratio per token, is larger here. The same task with
longer steps says how the ratio falls with length.

Statistics: t intervals (95 %) over seeds, paired where two conditions are compared; a slope is −1 where its interval
lies within ±.25 of it, and is not where the two do not meet. All three rewards are judged: a claim holds where it is
shown for all, fails where it is refuted for one and shown for none, holds only if the reward is one of some where it
is shown for these and refuted for another; else it is left open. Seeds with a read-out that is no number, or whose
network emits no pattern any more, are left out and counted.

Control: the same measure between two base checkpoints (as many more steps of pre-training, same optimiser and
learning rate), and RL on a coin instead of a reward.

Limit: one learning rate, chosen so that RLVR is about done by the last step; all numbers are about this one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import examples, stack
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, bounded, decided, interval
from qra_jax.studies.transformer_sft_first import whiskers
from qra_jax.transformer import probe, reward
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.task import KINDS

TITLE = "Critical tokens: which tokens does RL move, and do changed ranks show them?"
SOURCE = "QRA-7; Chen, Li, Zou, arXiv 2506.04695 v2"
REWARDS = ("RLVR", "RLVR, success rates fixed", "RLIF", "coin")
"""What is rewarded: right answers; with the success rate of the pattern, whatever the answer; self-certainty; nothing
(half of all, by chance)."""
ARMS = REWARDS[:-1]
"""Those that are judged; the coin is a control."""
SOURCES = ("tuned", "base")
"""Whose samples the networks are compared on."""
LENGTHS = {"short": (1, 2, 3), "middle": (4, 6, 8), "long": (8, 12, 16)}
"""Steps of the three patterns."""
REPORTED = {"RLVR": (0.052, 0.073), "RLIF": (0.068, 0.101)}
"""Ranking change ratio at steps 20 and 100, GSM8K: context, not a target."""
FEW = max(max(pair) for pair in REPORTED.values())
"""Highest ratio reported."""
QUESTIONS, GROUP, SAMPLES, ANNOUNCED = 8, 8, 32, 0.9
WIDTH, DEPTH, PRETRAINING = 32, 2, 400
STEPS, RECORD, RATE = 100, 20, 2e-4
"""Of RL, and the learning rate of its Adam: RLVR is about done by the last step."""


def chosen(which: Array) -> SequenceReward:
    """One of `REWARDS` by its number, as one program; success rates are fixed by the task, see `Controlled.coin`."""
    right = reward.verifiable()
    parts = right, right, reward.self_certainty(), reward.verifiable(0.5, 0.5)

    def function(params: dict[str, Any], key: Array, rollouts: Any, seen: Any) -> Array:
        return jnp.stack([part(key, rollouts, seen) for part in parts])[params["which"]]

    return SequenceReward("one of these", function, {"which": which})


def compare(
    key: Array, model: Any, task: Any, base: Any, now: Any, samples: int = SAMPLES
) -> dict[str, Array]:
    """Sums over places of each kind of how two networks differ, on samples of both.

    Args:
      key: PRNG key of the samples.
      model, task: the network and its task.
      base, now: parameters.
      samples: of each question.

    Returns:
      `[SOURCES, KINDS]` each: number of places, of changed ranks, of changed likeliest tokens; KL(now‖base), KL at
      changed ranks and at changed likeliest tokens, cosine of features.
    """
    asked, found = task.questions(jnp.arange(task.number)), []
    for index, params in enumerate((now, base)):
        drawn = transformer.sample(
            jax.random.fold_in(key, index),
            model,
            params,
            asked,
            group=samples,
            length=task.length,
            end=task.end,
        )
        change = probe.change(model, base, now, asked, drawn.tokens)
        values = {
            "places": jnp.ones_like(change.kl),
            "reranked": change.reranked,
            "top": change.top,
            "kl": change.kl,
            "kl_reranked": change.kl * change.reranked,
            "kl_top": change.kl * change.top,
            "similarity": change.similarity,
        }
        kinds = jnp.where(drawn.where, task.kinds(drawn.tokens), -1)
        masks = kinds[None] == jnp.arange(len(KINDS))[:, None, None, None]
        found.append({name: jnp.sum(masks * value[None], axis=(1, 2, 3)) for name, value in values.items()})
    return jax.tree.map(lambda *parts: jnp.stack(parts), *found)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Networks of every length, trained on every reward and compared with their base along the way."""
    data: dict[str, np.ndarray] = {"step": np.arange(0, STEPS + 1, RECORD)}
    for name in list(LENGTHS)[: 1 if quick else None]:
        found = _trained(LENGTHS[name], quick, seed)
        data |= {f"{name}/{key}": np.asarray(value, float) for key, value in found.items()}
    return data


def _trained(steps: tuple[int, ...], quick: bool, seed: int) -> dict[str, Any]:
    """Read-outs `[rewards, seeds, times, ...]`, and `control/` ones `[seeds, ...]` between base checkpoints."""
    number, questions, depth = (2, QUESTIONS // 2, 1) if quick else (8, QUESTIONS, DEPTH)
    problem = stack([examples.worked()] * questions)
    task = transformer.controlled(problem, announced=ANNOUNCED, steps=steps, digits=1)
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=depth)
    keys = jax.random.split(jax.random.key(seed), number)
    base = transformer.learn(
        keys, model, task.demonstrations, steps=PRETRAINING, questions=questions, keep=True
    ).params
    shown = task.demonstrations()

    def look(key: Array, params: Any, now: Any) -> dict[str, Array]:
        seen = transformer.read_out(model, now, shown)
        return {
            **compare(key, model, task, params, now, SAMPLES // 2 if quick else SAMPLES),
            "best": jnp.mean(seen.policy[:, 0]),
            "accuracy": jnp.mean(seen.accuracy),
            "alike": probe.feature_similarity(model, now, shown.questions),
        }

    def run(key: Array, params: Any, which: Array) -> Any:
        return transformer.train(
            key,
            model,
            params,
            replace(task, coin=which == REWARDS.index("RLVR, success rates fixed")),
            algorithm=grpo(GROUP),
            steps=STEPS,
            questions=questions,
            learning_rate=RATE,
            reward=chosen(which),
            record_every=RECORD,
            probe=lambda now: now,
        ).seen

    def control(key: Array, params: Any) -> Any:
        adam = optax.adam(RATE)

        def step(index: Array, carry: Any) -> Any:
            now, memory = carry
            lessons = task.demonstrations(jax.random.fold_in(key, index), questions // 2)
            slope = jax.grad(lambda now: cross_entropy(model, now, lessons))(now)
            change, memory = adam.update(slope, memory, now)
            return optax.apply_updates(now, change), memory

        return jax.lax.fori_loop(0, STEPS, step, (params, adam.init(params)))[0]

    which, index = (grid.ravel() for grid in np.indices((len(REWARDS), number)))
    fresh = jax.vmap(jax.random.fold_in)(keys[index], which + 1)
    begun = jax.tree.map(lambda leaf: leaf[index], base)
    runs = transformer.side_by_side(run)(fresh, begun, which)
    alone = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
    beside = transformer.side_by_side(control)(alone, base)
    # One program compares all: every checkpoint of every run, then the control's.
    times = 1 + STEPS // RECORD
    runs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), runs)
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), (fresh, begun))
    join = lambda *parts: jnp.concatenate(parts)  # noqa: E731
    drawn, before, now = jax.tree.map(join, (*repeated, runs), (alone, base, beside))
    drawn = jax.vmap(lambda key: jax.random.fold_in(key, STEPS))(drawn)
    found = transformer.side_by_side(look)(drawn, before, now)
    shape = len(REWARDS), number, times
    seen = {key: value[:-number].reshape(*shape, *value.shape[1:]) for key, value in found.items()}
    return seen | {f"control/{key}": value[-number:] for key, value in found.items()}


def present(data: Mapping[str, np.ndarray]) -> list[str]:
    """The lengths that were computed."""
    return [name for name in LENGTHS if f"{name}/kl" in data]


def sound(data: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """The data of seeds whose read-outs are numbers and whose networks emit patterns, and how many are left out.

    Raises:
      ValueError: no such seed.
    """
    axes = {key: 0 if "/control/" in key else 1 for key in data if key != "step"}
    good: Any = True
    for key, axis in axes.items():
        value = np.moveaxis(data[key], axis, 0)
        fine = np.isfinite(value)
        if key.endswith("/places"):
            fine = fine & (value[..., :1] > 0)
        good = good & fine.reshape(len(value), -1).all(axis=1)
    if not np.any(good):
        raise ValueError("kl: not a number in every seed; must be finite in one at least")
    kept = {key: np.compress(good, data[key], axis=axis) for key, axis in axes.items()}
    return {"step": data["step"], **kept}, int((~good).sum())


def ratio(
    data: Mapping[str, np.ndarray], name: str, what: str, time: int = -1, on: str = "tuned"
) -> np.ndarray:
    """Ranking change ratio `[seeds]`: share of places whose emitted token changed its rank.

    Args:
      data: from `compute`.
      name: of the length.
      what: one of `REWARDS`, or `"control"`.
      time: index of the checkpoint.
      on: whose samples.

    Returns:
      `[seeds]`, in [0, 1].
    """
    changed, places = (
        _sums(data, name, key, what, time)[:, SOURCES.index(on)] for key in ("reranked", "places")
    )
    return changed.sum(axis=-1) / places.sum(axis=-1)


def part(data: Mapping[str, np.ndarray], key: str, what: str, kind: str = "pattern") -> np.ndarray:
    """Share `[seeds]` of a sum that sits at tokens of a kind, all lengths taken together; 0 where the sum is 0."""
    total = sum(_sums(data, name, key, what)[:, 0] for name in present(data))
    whole = np.sum(total, axis=-1)
    return _share(np.asarray(total)[:, KINDS.index(kind)], whole)


def caught(data: Mapping[str, np.ndarray], by: str, what: str, on: int = 0) -> np.ndarray:
    """Share `[seeds]` of KL(now‖base) that sits at places with a changed rank or a changed likeliest token."""
    found, total = (
        sum(_sums(data, name, key, what)[:, on].sum(axis=-1) for name in present(data))
        for key in (f"kl_{by}", "kl")
    )
    return _share(found, total)


def _share(part: Any, whole: Any) -> np.ndarray:
    """part/whole, and 0 of nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)


def _sums(data: Mapping[str, np.ndarray], name: str, key: str, what: str, time: int = -1) -> np.ndarray:
    if what == "control":
        return data[f"{name}/control/{key}"]
    return data[f"{name}/{key}"][REWARDS.index(what), :, time]


def mean_length(data: Mapping[str, np.ndarray], name: str, what: str) -> np.ndarray:
    """Mean number of tokens of a sequence of the tuned network, `[seeds]`."""
    places = _sums(data, name, "places", what)[:, 0]
    return places.sum(axis=-1) / places[:, KINDS.index("pattern")]


def falls(data: Mapping[str, np.ndarray], what: str) -> np.ndarray:
    """Slope `[seeds]` of log ratio against log length; half a place is added, so that none is −∞."""
    logs = []
    for name in present(data):
        changed, places = (_sums(data, name, key, what)[:, 0].sum(axis=-1) for key in ("reranked", "places"))
        logs.append((np.log(mean_length(data, name, what)), np.log((changed + 0.5) / places)))
    x, y = np.array(logs).swapaxes(0, 1)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return (x * y).sum(axis=0) / (x * x).sum(axis=0)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """The ratio over training and over length, where changes sit, and what a change of rank finds."""
    data, _ = sound(data)
    figure, axes = plot.new((8.8, 6.4), nrows=2, ncols=2)
    _training(data, axes[0, 0])
    _places(data, axes[0, 1])
    _lengths(data, axes[1, 0])
    _found(data, axes[1, 1])
    return figure


COLORS: dict[str, str] = dict(
    zip(REWARDS, (plot.color("rlvr"), "#56B4E9", plot.color("rlif"), "#666666"), strict=True)
)


def _training(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    name = present(data)[-1]
    for what in REWARDS:
        ends = [whiskers(100 * ratio(data, name, what, time)) for time in range(len(data["step"]))]
        mean, half = np.array(ends).T
        low, high = mean - half, mean + half
        ax.plot(data["step"], mean, color=COLORS[what], label=_label(what))
        ax.fill_between(data["step"], np.maximum(low, 0), high, color=COLORS[what], alpha=0.15, linewidth=0)
    for what, ends in REPORTED.items():
        label = "reported" if what == "RLVR" else None
        ax.plot([20, 100], 100 * np.array(ends), "--", color=COLORS[what], linewidth=1, label=label)
    calm = interval(100 * ratio(data, name, "control"))[0]
    ax.axhline(calm, color=plot.MUTED, linestyle=":", label="more pre-training")
    ax.set(xlabel=f"GRPO steps   ({name} sequences)", ylabel="changed ranks (% of tokens)")
    ax.set_ylim(0, 1.5 * ax.get_ylim()[1])
    ax.legend(loc="upper left", fontsize=8, ncols=2)
    last = [100 * ratio(data, name, what).mean() for what in ARMS]
    ax.set_title(
        f"End: RLVR {last[0]:.1f} % (rates fixed {last[1]:.1f} %), RLIF at {last[2]:.1f} %", fontsize=10
    )


def _label(what: str) -> str:
    return {"RLVR, success rates fixed": "RLVR, rates fixed", "coin": "RL on a coin"}.get(what, what)


def _places(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    shades = dict(zip(KINDS, (plot.BEST, "#D9D9D9", "#E69F00", plot.RIVAL, "#8C8C8C"), strict=True))
    rows, names = [], []
    for what in ARMS:
        for key, word in (("places", "tokens"), ("reranked", "ranks"), ("kl", "KL")):
            rows.append([part(data, key, what, kind).mean() for kind in KINDS])
            names.append(f"{_label(what).removeprefix('RLVR, ')}: {word}" if key == "places" else word)
    shares, place = np.array(rows), np.array([0, 1, 2, 3.6, 4.6, 5.6, 7.2, 8.2, 9.2])
    left = np.zeros(len(place))
    for kind, width in zip(KINDS, shares.T, strict=True):
        ax.barh(place, width, left=left, color=shades[kind], label=kind, height=0.85)
        left = left + width
    ax.set_yticks(place, names, fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="share, samples of the tuned network", xlim=(0, 1), ylim=(9.9, -3.2))
    ax.legend(loc="upper center", ncols=3, fontsize=8, handlelength=0.8, columnspacing=0.8)
    decide = [KINDS.index(kind) for kind in ("pattern", "marker", "answer")]
    held = shares[1::3][:, decide].sum(axis=1)
    ax.set_title(f"Decisions hold {held.min():.0%} to {held.max():.0%} of changed ranks")


def _lengths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for what in ARMS:
        x = np.array([mean_length(data, name, what).mean() for name in present(data)])
        mean, half = 100 * np.array([whiskers(ratio(data, name, what)) for name in present(data)]).T
        ax.errorbar(x, mean, half, color=COLORS[what], marker="o", markersize=4, label=_label(what))
        ax.plot(x, mean[0] * x[0] / x, ":", color=COLORS[what], linewidth=1)
    ax.set(xscale="log", xlabel="tokens of a sequence", ylabel=f"changed ranks (%), step {STEPS}")
    ticks = [5, 10, 20]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(0)
    ax.legend(loc="upper right", fontsize=8, title="dotted: one over length", title_fontsize=8)
    if len(present(data)) > 1:
        told = ", ".join(f"{falls(data, what).mean():.1f}" for what in ARMS)
        ax.set_title(f"Slopes of log ratio with log length: {told}")
    else:
        ax.set_title("One length of sequences")


def _found(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    place = np.arange(3)
    cases = [(by, on) for on in (0, 1) for by in ("reranked", "top")]
    for i, (by, on) in enumerate(cases):
        mean, half = np.array([whiskers(caught(data, by, what, on)) for what in ARMS]).T
        words = {"reranked": "rank", "top": "likeliest"}
        ax.bar(
            place + 0.2 * (i - 1.5),
            mean,
            0.18,
            color=("#7F3C8D", "#009E73")[i % 2],
            alpha=1.0 if on == 0 else 0.45,
            label=f"{words[by]}, on {SOURCES[on]}",
            yerr=(np.minimum(half, mean), half),
            ecolor=plot.MUTED,
        )
    ax.axhline(0.5, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set_xticks(place, [_label(what).replace(", ", ",\n") for what in ARMS])
    ax.set(ylabel="share of KL where it changed", ylim=(0, 1.5), yticks=[0, 0.5, 1])
    ax.legend(loc="upper left", ncols=2, fontsize=8)
    told = " / ".join(f"{caught(data, 'reranked', what).mean():.0%}" for what in ARMS)
    ax.set_title(f"Changed ranks hold {told} of the KL")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Size, order, growth, controls, places, length, and how good the measure is."""
    data, lost = sound(data)
    names, first, last = present(data), data["step"][1], data["step"][-1]
    rows = [
        _few(data),
        _compared(
            data,
            "RLIF changes more ranks than RLVR.",
            f"RLIF above RLVR at step {last}",
            {f"it is compared with {what}": (("RLIF", -1), (what, -1)) for what in ARMS[:2]},
        ),
        _compared(
            data,
            "More ranks change as training goes on.",
            f"step {last} above step {first}",
            {f"the reward is that of {what}": ((what, -1), (what, 1)) for what in ARMS},
        ),
        _compared(
            data,
            "RL changes more ranks than as many steps of pre-training.",
            "above the control",
            {f"the reward is that of {what}": ((what, -1), ("control", -1)) for what in ARMS},
        ),
        _compared(
            data,
            "The ratio measures what the reward teaches: without one it is smaller.",
            "above RL on a coin, same steps and learning rate",
            {f"the reward is that of {what}": ((what, -1), ("coin", -1)) for what in ARMS},
        ),
        _at_pattern(data, "reranked", "the changed ranks"),
        _at_pattern(data, "kl", "KL(now‖base)"),
    ]
    if len(names) > 1:
        rows.append(_shrinks(data))
    rows += [_measure(data), _features(data)]
    whole = lost + data[f"{names[0]}/kl"].shape[1]
    told = f"; {lost} of {whole} seeds left out: no numbers or no patterns" if lost else ""
    return [replace(row, measured=row.measured + told) for row in rows]


def _each(said: Mapping[str, str]) -> str:
    """One verdict from those of several cases, whose names are conditions."""
    shown = [case for case, word in said.items() if word == HOLDS]
    refuted = FAILS in said.values()
    if shown and refuted:
        return ONLY_IF + " or ".join(shown)
    return decided(len(shown) == len(said), refuted)


def _above(values: np.ndarray, bound: float = 0.0) -> str:
    """Whether the mean over seeds is above a bound."""
    mean, half = interval(values)
    return decided(mean - half > bound, mean + half < bound)


def _by_arm(say: Callable[[str], str]) -> str:
    return _each({f"the reward is that of {what}": say(what) for what in ARMS})


def _percent(values: np.ndarray) -> str:
    mean, half = (100 * x for x in interval(values))
    return f"{mean:.1f} % ({mean - half:.1f} … {mean + half:.1f})"


def _few(data: Mapping[str, np.ndarray]) -> Verdict:
    parts, said = [], {}
    for name in present(data):
        found = {what: ratio(data, name, what) for what in ARMS}
        length = mean_length(data, name, "RLVR").mean()
        for what, values in found.items():
            said[f"it is {what} in {name} sequences"] = _above(-values, -FEW)
        early = {what: ratio(data, name, what, 1).mean() for what in found}
        told = ", ".join(
            f"{_label(what)} {100 * early[what]:.1f} → {_percent(x)}" for what, x in found.items()
        )
        parts.append(f"{length:.0f} tokens: {told}")
    return Verdict(
        "RL changes the rank of few of the tokens that the tuned network emits.",
        SOURCE,
        f"below {FEW:.1%} (reported 5.2 → 7.3 % RLVR, 6.8 → 10.1 % RLIF)",
        "; ".join(parts) + f"; steps {data['step'][1]} → {data['step'][-1]}",
        _each(said),
    )


def _compared(
    data: Mapping[str, np.ndarray], claim: str, predicted: str, pairs: Mapping[str, Any]
) -> Verdict:
    """Paired differences of ratios in every length; `pairs` maps a condition to (reward, time) of the two."""
    parts, said = [], {}
    for condition, ((what, time), (other, before)) in pairs.items():
        words = []
        for name in present(data):
            high, low = ratio(data, name, what, time), ratio(data, name, other, before)
            words.append(_above(high - low))
            pair = _label(what) if other in (what, "control", "coin") else f"{_label(what)} − {_label(other)}"
            parts.append(f"{name}: {pair} {100 * high.mean():.1f} − {100 * low.mean():.1f}")
            parts[-1] += f" = {_percent(high - low)}"
        said[condition] = decided(set(words) == {HOLDS}, FAILS in words)
    return Verdict(
        claim,
        SOURCE if "coin" not in predicted else "the control of " + SOURCE,
        predicted + ": interval of the paired difference above 0 in every length",
        "; ".join(parts),
        _each(said),
    )


def _at_pattern(data: Mapping[str, np.ndarray], key: str, word: str) -> Verdict:
    found = {what: part(data, key, what) for what in ARMS}
    share = {what: part(data, "places", what).mean() for what in found}
    parts = [
        f"{what} {_percent(values)}, answers {100 * part(data, key, what, 'answer').mean():.0f} %, steps "
        f"{100 * part(data, key, what, 'step').mean():.0f} % (patterns are {100 * share[what]:.0f} % of tokens, "
        f"{100 * _announced(data, what):.0f} % of sequences have the marker)"
        for what, values in found.items()
    ]
    return Verdict(
        f"The pattern token holds most of {word}.",
        SOURCE,
        "share of the pattern token above ½",
        "; ".join(parts),
        _by_arm(lambda what: _above(found[what], 0.5)),
    )


def _announced(data: Mapping[str, np.ndarray], what: str) -> float:
    """Share of sequences with a marker: without it the answer stands where the base wrote the marker."""
    return float((part(data, "places", what, "marker") / part(data, "places", what)).mean())


def _shrinks(data: Mapping[str, np.ndarray]) -> Verdict:
    ends = {what: interval(falls(data, what)) for what in ARMS}
    told = []
    for what, (mean, half) in ends.items():
        far = ", ".join(f"{data[f'{n}/best'][REWARDS.index(what), :, -1].mean():.2f}" for n in present(data))
        told.append(f"{what} {mean:.2f} ({mean - half:.2f} … {mean + half:.2f}), π(r*) {far}")
    return Verdict(
        "Decisions a sequence are what changes, so that the ratio falls as one over the length.",
        "theory of this package",
        "slope of log ratio against log length within −1 ± .25",
        "; ".join(told) + f" in {', '.join(present(data))} sequences, which are not equally far on",
        _by_arm(lambda what: bounded([(ends[what][0] + 1, ends[what][1])], 0.25)),
    )


def _measure(data: Mapping[str, np.ndarray]) -> Verdict:
    found, parts = {}, []
    for what in ARMS:
        found[what] = caught(data, "reranked", what)
        told = [f"likeliest token {_percent(caught(data, 'top', what))}"]
        told.append(f"on samples of the base {_percent(caught(data, 'reranked', what, 1))}")
        parts.append(f"{what}: rank {_percent(found[what])}, {', '.join(told)}")
    return Verdict(
        "A change of rank finds the tokens whose distribution changes.",
        "the measure of " + SOURCE,
        "more than half of KL(now‖base) at tokens with a changed rank",
        "; ".join(parts),
        _by_arm(lambda what: _above(found[what], 0.5)),
    )


def _features(data: Mapping[str, np.ndarray]) -> Verdict:
    found, parts = {}, []
    for what in ARMS:
        cosine = np.mean(
            [
                _sums(data, name, "similarity", what)[:, 0]
                / np.maximum(_sums(data, name, "places", what)[:, 0], 1)
                for name in present(data)
            ],
            axis=0,
        )
        step = cosine[:, KINDS.index("step")]
        decision = cosine[:, [KINDS.index("pattern"), KINDS.index("answer")]]
        found[what] = step - decision.mean(axis=1)
        alike = [data[f"{present(data)[0]}/alike"][REWARDS.index(what), :, time].mean() for time in (0, -1)]
        parts.append(
            f"{what}: cosine of features now and before {cosine[:, 0].mean():.3f} at patterns, "
            f"{decision[:, 1].mean():.3f} at answers, {step.mean():.3f} at steps; between questions at the pattern "
            f"{alike[0]:.3f} → {alike[1]:.3f}"
        )
    return Verdict(
        "Features, too, change more at the decisions (pattern, answer) than at steps.",
        "theory of this package",
        "cosine at steps above that at decisions: interval of the paired difference above 0",
        "; ".join(parts),
        _by_arm(lambda what: _above(found[what])),
    )
