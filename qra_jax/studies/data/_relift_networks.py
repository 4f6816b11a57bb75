"""Networks of the study of interleaved teaching: arms that differ in numbers alone, and exact chances after each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.studies.data import _bases
from qra_jax.transformer import penalty
from qra_jax.transformer.model import Params
from qra_jax.transformer.procedures import PATTERNS, Arithmetic
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Demonstrations
from qra_jax.transformer.teaching import Lesson, Source, Teaching

KINDS = (0.5, 0.05, 5e-3, 5e-4)
"""Chance with which bases work an answer out, by the first digit of the question; otherwise they guess."""
ASKED, GROUP, RATE, EVERY = 8, 8, 1e-3, 4
"""Questions of a step, rollouts of each, learning rate of Adam, and steps from one that teaches to the next."""
STEPS, RECORDS = lab.scale(32, 96), 8
TESTED = lab.scale(8, 16)
"""Questions of each kind that networks are read on; there are 64 of each, and all are asked."""
SHOWN, GUESS = PATTERNS.index("running"), PATTERNS.index("guess")
"""The procedure of demonstrations, and the one that is never paid."""
EXTENT, FURTHER = lab.scale(_bases.Size(3, 16, 1, 300), _bases.Size(8, 32, 2, 900)), lab.scale(60, 300)
"""Networks; steps in which they learn to work out and to guess alike; steps in which they then come to guess."""

RL, SFT, SFT_ALL, SFT_TOKENS = "RL alone", "SFT alone", "SFT on all questions", "SFT, equal sequences"
BEFORE, FIRST, BETWEEN, ON_TOP = (
    "SFT, then RL",
    "SFT on unsolved, then RL",
    "interleaved",
    "interleaved, RL goes on",
)
RANDOM, OWN, ALWAYS = "interleaved at random", "interleaved own answers", "RL and SFT at every step"
GUESSED, GUESSED_ALWAYS = "interleaved, half guesses", "at every step, half guesses"
NEVER = 10**6


class Arm(NamedTuple):
    """What an arm is told: see `Teaching`; `chance` is one number for each step."""

    weight: float = 1.0
    rl: float = 1.0
    solved: float = 1.0
    every: int = 1
    stop: int = NEVER
    own: float = 0.0
    guess: float = 0.0
    chance: Any = 1.0


def task() -> Arithmetic:
    """Sums of two numbers of two digits, to the base 4."""
    return _bases.sums(operands=(2,), held=0.0)


def kind(questions: tf.Questions) -> Array:
    """Kind of each question, `[N]`: the first digit of its first number."""
    return questions.truth.operands[:, 0] // task().base


def _skill(key: Array, number: int, shares: tuple[float, ...] = (0.5,) * len(KINDS)) -> Demonstrations:
    """Fresh questions by the running procedure and guessed, with the share of the former by kind."""
    shown, both = task().demonstrations(key, number), jnp.asarray([SHOWN, GUESS])
    share = jnp.asarray(shares)[kind(shown.questions)]
    parts = {name: getattr(shown, name)[:, both] for name in ("tokens", "where", "answer_at")}
    return replace(shown, weight=jnp.stack([share, 1 - share], axis=1), **parts)


def _habit(key: Array, number: int) -> Demonstrations:
    return _skill(key, number, KINDS)


def bases(size: tuple, further: int, seed: int) -> Params:
    """Networks that can work out all sums, and do so with the chances `KINDS`, `[seeds, ...]`."""
    kept = _bases.Size(*size)
    keys, model = jax.random.split(jax.random.key(seed), (2, kept.seeds)), _bases.network(task(), kept)
    first = tf.learn(keys[0], model, _skill, steps=kept.steps, questions=16, learning_rate=kept.rate).params
    return tf.learn(
        keys[1], model, _habit, steps=further, questions=16, learning_rate=2e-3, params=first
    ).params


def _paid(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: tf.Verification) -> Array:
    worked = verdict.right & verdict.formatted & verdict.steps & (verdict.pattern != GUESS)
    return worked.astype(rollouts.log_prob.dtype)


def worked_out() -> SequenceReward:
    """1 for a right answer that a procedure without a mistake leads to; a guess earns nothing."""
    return SequenceReward("worked out", _paid)


def chances(model: tf.Decoder, params: Params, questions: tf.Questions) -> Array:
    """Exact chance of a right answer that is worked out, `[N]`: the sum over all sequences that are one."""
    shown = task().show(questions)
    log_probs = penalty.at(tf.rl.log_probs(model, params, questions, shown.tokens), shown.tokens)
    whole = jnp.exp(jnp.sum(jnp.where(shown.where, log_probs, 0.0), axis=-1))
    return jnp.sum(jnp.where(jnp.arange(len(PATTERNS))[None] == GUESS, 0.0, whole), axis=-1)


def tested(key: Array, number: int) -> tf.Questions:
    """So many questions of each kind, `[kinds · number]`."""
    base, count = task().base, len(KINDS) * number
    keys = jax.random.split(key)
    low = jax.random.randint(keys[0], (count,), 0, base)
    other = jax.random.randint(keys[1], (count,), 0, base**2)
    return task().ask(
        jnp.zeros(count, int), jnp.stack([jnp.repeat(jnp.arange(len(KINDS)), number) * base + low, other], 1)
    )


def lesson(arm: dict[str, Array]) -> Teaching:
    """The teaching of an arm: the running procedure, partly guesses, or the network's own right answers."""

    def show(seen: Lesson) -> Demonstrations:
        shown = task().show(seen.questions)
        guess = jax.random.uniform(seen.key, (shown.tokens.shape[0],)) < arm["guess"]
        taken = jnp.where(guess, GUESS, SHOWN)[:, None]
        first = jnp.argmax(seen.right, axis=1)[:, None]
        theirs = jnp.take_along_axis(shown.tokens, taken[..., None], axis=1)
        own = jnp.take_along_axis(seen.rollouts.tokens, first[..., None], axis=1)
        known = jnp.any(seen.right, axis=1, keepdims=True)
        tokens = jnp.where(arm["own"] > 0, own, theirs)
        weight = jnp.where((arm["own"] > 0) & ~known, 0.0, 1.0)
        place = jnp.take_along_axis(shown.answer_at, taken, axis=1)
        return replace(shown, tokens=tokens, where=tokens != 0, weight=weight, answer_at=place)

    return Teaching(
        Source(show), arm["weight"], arm["rl"], arm["solved"], arm["chance"], arm["every"], arm["stop"]
    )


FREE = {
    RL: Arm(weight=0.0),
    BETWEEN: Arm(rl=0.0, solved=0.0, every=EVERY),
    ON_TOP: Arm(solved=0.0, every=EVERY),
    GUESSED: Arm(rl=0.0, solved=0.0, every=EVERY, guess=0.5),
    ALWAYS: Arm(),
    GUESSED_ALWAYS: Arm(guess=0.5),
}
"""Arms that depend on no other; RL rests in the steps in which interleaving teaches, as in ReLIFT, but for one."""


def train(
    key: Array, params: Params, questions: tf.Questions, arm: dict[str, Array], *, steps: int, size: Any
) -> Any:
    """One arm from one base: `chance` `[records, N]`, and `shown`, `taught`, `tokens` between records."""
    model, every = _bases.network(task(), size), steps // RECORDS
    run = tf.train(
        key,
        model,
        params,
        task(),
        algorithm=grpo(GROUP),
        steps=steps,
        questions=ASKED,
        learning_rate=RATE,
        reward=worked_out(),
        teaching=lesson(arm),
        record_every=every,
        probe=lambda params: chances(model, params, questions),
    )
    return {"chance": run.seen} | {name: run.stats[name] * every for name in ("shown", "taught", "tokens")}


def _matched(shown: np.ndarray, steps: int) -> dict[str, list[Arm]]:
    """Arms with as many demonstrations as interleaving was given, `shown` `[seeds, records]`, one for each seed."""
    total, window = shown.sum(axis=1), steps // RECORDS
    pace = np.repeat(shown / (window // EVERY * ASKED), window, axis=1)  # of the steps that teach
    return {
        SFT: [Arm(rl=0.0, chance=one / (ASKED * steps)) for one in total],
        SFT_ALL: [Arm(rl=0.0)] * len(shown),
        BEFORE: [Arm(rl=0.0, stop=max(1, round(float(one) / ASKED))) for one in total],
        FIRST: [Arm(rl=0.0, solved=0.0, stop=max(1, round(float(one) / ASKED))) for one in total],
        RANDOM: [Arm(rl=0.0, every=EVERY, chance=one) for one in pace],
        OWN: [Arm(rl=0.0, every=EVERY, chance=one, own=1.0) for one in pace],
    }


def trained(run: lab.Run) -> xr.Dataset:
    """All arms: exact chances of the tested questions, and demonstrations and tokens between records."""
    size, steps = run(EXTENT), run(STEPS)
    made = jax.tree.map(jnp.asarray, run.bank.get(bases, tuple(size), run(FURTHER), run.shared_seed))
    model, seeds = _bases.network(task(), size), np.arange(size.seeds)
    asked = tested(jax.random.fold_in(run.key, 1), run(TESTED))
    program = tf.side_by_side(
        lambda key, params, arm, asked: train(key, params, asked, arm, steps=steps, size=size)
    )
    keys = jax.vmap(lambda i: jax.random.fold_in(run.key, i + 2))(seeds)

    def ran(arms: dict[str, list[Arm]]) -> dict[str, np.ndarray]:
        """Arrays `[arm, seed, ...]` of arms that are given for each seed."""
        rows = [
            arm._replace(chance=np.broadcast_to(arm.chance, steps)) for each in arms.values() for arm in each
        ]
        whole = {"every", "stop"}
        table = {
            n: np.stack([np.asarray(getattr(row, n), int if n in whole else np.float32) for row in rows])
            for n in Arm._fields
        }
        again = [jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(arms)), one) for one in (keys, made)]
        same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(rows), *leaf.shape)), asked)
        found = program(*again, table, same)
        return {name: np.asarray(x).reshape(len(arms), len(seeds), *x.shape[1:]) for name, x in found.items()}

    first = ran({name: [arm] * len(seeds) for name, arm in FREE.items()})
    run.say("arms that depend on no other")
    equal = _matched(first["shown"][list(FREE).index(BETWEEN)], steps)
    second = ran(equal)
    run.say("arms of equal demonstrations")
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    chance = both.pop("chance").reshape(len(FREE) + len(equal), len(seeds), RECORDS + 1, len(KINDS), -1)
    alone = tf.side_by_side(lambda key, params: _longer(key, params, asked, model, steps))
    longer = alone(keys, made)
    values: dict[str, Any] = {"chance": (("arm", "seed", "record", "kind", "question"), chance)}
    values |= {name: (("arm", "seed", "window"), x) for name, x in both.items()}
    values["tokens_chance"] = (
        ("seed", "kind", "question"),
        np.asarray(longer).reshape(len(seeds), *chance.shape[3:]),
    )
    coords = {"arm": [*FREE, *equal], "record": np.linspace(0, steps, RECORDS + 1), "kind": list(KINDS)}
    return lab.dataset(values, coords, steps=steps)


def _longer(key: Array, params: Params, asked: tf.Questions, model: tf.Decoder, steps: int) -> Array:
    """Chances after SFT on as many demonstrations as RL has rollouts, by as many steps of the same optimiser."""

    def shown(key: Array, number: int) -> Demonstrations:
        every = task().demonstrations(key, number)
        parts = {
            name: getattr(every, name)[:, SHOWN : SHOWN + 1] for name in ("tokens", "where", "answer_at")
        }
        return replace(every, weight=jnp.ones((number, 1)), **parts)

    options: dict[str, Any] = {"steps": steps, "questions": ASKED * GROUP, "rate": RATE}
    return chances(model, _bases.continued(key, model, params, shown, **options), asked)
