"""DPO of a network: pairs of a right and a wrong sequence."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qra_jax import transformer as tf
from qra_jax.problem import Problem, stack
from qra_jax.transformer import rl

KEY, BETA, GROUP = jax.random.key(0), 0.7, 4
WORLD = stack([Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.9, 0.4, 0.1])] * 2)
TASK = tf.controlled(WORLD, coin=True, steps=(0, 1, 2))
MODEL = tf.Lookup(TASK.vocabulary, param_dtype=jnp.float64)


def start():
    """A lookup table that chooses patterns by π_ref and then writes as the corpus does, any answer."""
    table = np.full((TASK.vocabulary, TASK.vocabulary), -1e3)
    for row in np.asarray(TASK.demonstrations().tokens[:, :3]).reshape(-1, TASK.length):
        table[row[:-1], row[1:]] = 0
    table[TASK.MARKER, TASK.first_answer :] = 0
    last = np.asarray(TASK.draw(KEY, 2).prompt)[:, -1]
    table[last, TASK.first_pattern : TASK.first_step] = WORLD.log_ref
    return {"table": jnp.asarray(table)}, last


BASE, LAST = start()


def run(key, **options):
    options = {"beta": BETA, "steps": 1, "questions": 2, "learning_rate": 1.0, "group_size": GROUP} | options
    return tf.prefer(key, MODEL, BASE, TASK, **({"optimizer": optax.sgd} | options))


def test_the_first_step_moves_from_wrong_to_right_patterns():
    """Mean of the update of a question's row: β/2 (P(pair)/N) (πp/ρ − π(1 − p)/(1 − ρ)), N = 2."""
    keys = jax.random.split(KEY, 4000)
    moved, silent = jax.jit(
        jax.vmap(
            lambda key: (lambda one: (one.params["table"] - BASE["table"], one.stats["silent"]))(run(key))
        )
    )(keys)
    ref, success = (np.asarray(x[0]) for x in (WORLD.ref, WORLD.success))
    rho = ref @ success
    paired = 1 - rho**GROUP - (1 - rho) ** GROUP
    expected = BETA / 2 * paired / 2 * (ref * success / rho - ref * (1 - success) / (1 - rho))
    rows = np.asarray(moved)[:, LAST, TASK.first_pattern : TASK.first_step]
    error = rows.std(axis=0) / math.sqrt(len(keys))
    assert (np.abs(rows.mean(axis=0) - expected) < 5 * error).all()
    assert abs(silent.mean() - (1 - paired)) < 5 * math.sqrt(paired * (1 - paired) / (2 * len(keys)))


def test_offline_pairs_come_from_the_base():
    """Where the pull is so strong that the policy is another one after a step, only iterated DPO samples from it."""
    keys = jax.random.split(KEY, 400)

    def rewards(iterated):
        options = {"steps": 6, "learning_rate": 20.0, "iterated": iterated, "record_every": 1}
        return np.asarray(jax.jit(jax.vmap(lambda key: run(key, **options).stats["reward"]))(keys)).mean(
            axis=0
        )

    base = float(WORLD.ref[0] @ WORLD.success[0])
    error = 5 * math.sqrt(base * (1 - base) / (400 * 2 * GROUP))
    assert (np.abs(rewards(False) - base) < error).all()
    iterated = rewards(True)
    assert abs(iterated[0] - base) < error
    assert iterated[-1] > base + 0.1


def test_the_pull_fades_with_the_margin():
    """Mean of the second step, given the first, over every pair of sequences: β P(pair)/N Σ a b σ(−β margin)."""
    beta, keys = 2.0, jax.random.split(KEY, 4000)
    every = TASK.demonstrations()
    tokens = jnp.repeat(every.tokens[:, :3], 2, axis=1)  # a pattern, with either answer
    answers = jnp.tile(TASK.first_answer + jnp.arange(2), 3)[None, :, None]
    places = jnp.repeat(every.answer_at[:, :3], 2, axis=1)[..., None]
    tokens = jnp.where(jnp.arange(TASK.length)[None, None] == places, answers, tokens)
    where, pattern = jnp.repeat(every.where[:, :3], 2, axis=1), jnp.repeat(jnp.arange(3), 2)
    ref, success = WORLD.ref[0][pattern] / 2, WORLD.success[0][pattern]
    rho = float(ref @ success)
    right, wrong = ref * success / rho, ref * (1 - success) / (1 - rho)
    paired, step = 1 - rho**GROUP - (1 - rho) ** GROUP, jax.nn.one_hot(pattern, 3)

    def scores(params):
        own = jnp.take_along_axis(rl.log_probs(MODEL, params, every.questions, tokens), tokens[..., None], -1)
        return jnp.sum(jnp.where(where, own[..., 0], 0.0), axis=-1)

    def off(key):
        one = run(key, beta=beta, steps=2, iterated=False, probe=lambda p: p["table"])
        ratio = scores({"table": one.seen[1]}) - scores(BASE)
        pull = (right[:, None] * wrong[None])[None] * jax.nn.sigmoid(
            -beta * (ratio[:, :, None] - ratio[:, None])
        )
        expected = beta * paired / 2 * jnp.einsum("nrs,rsp->np", pull, step[:, None] - step[None])
        rows = jnp.asarray(LAST)
        return (one.seen[2] - one.seen[1])[rows, TASK.first_pattern : TASK.first_step] - expected, expected

    missed, expected = (np.asarray(x) for x in jax.jit(jax.vmap(off))(keys))
    error = missed.std(axis=0) / math.sqrt(len(keys))
    assert (np.abs(missed.mean(axis=0)) < 5 * error).all()
    plain = beta / 2 * paired / 2 * np.asarray((right - wrong) @ step)
    assert (np.abs(expected.mean(axis=0) - plain) > 5 * error).any(), "a pull without margin would pass"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("questions", 0),
        ("group_size", 1),
        ("beta", 0.0),
        ("learning_rate", -1.0),
        ("record_every", 2),
    ],
)
def test_prefer_names_what_is_wrong(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        run(KEY, **{"steps": 3, name: value})
