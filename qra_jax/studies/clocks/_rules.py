"""What the study of RL in name only runs: weights of filtered SFT, questions, gradients of single groups, training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from qra_jax import theory
from qra_jax.algorithm import Algorithm, filtered_sft, grpo, switch
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, examples, stack
from qra_jax.regularizer import reverse_kl
from qra_jax.training import train

GROUP = 8


def _odds(params: dict[str, Any], rewards: Array, where: Array | None) -> Array:
    """√((1 − ρ̂)/ρ̂) for right rollouts, −√(ρ̂/(1 − ρ̂)) for wrong ones; nothing from silent groups."""
    share = jnp.mean(rewards, where=where)
    silent = (share <= 0) | (share >= 1)
    odds = jnp.where(silent, 1.0, share) / jnp.where(silent, 1.0, 1 - share)
    return jnp.where(silent, 0.0, rewards / jnp.sqrt(odds) - (1 - rewards) * jnp.sqrt(odds))


def _wrong(params: dict[str, Any], rewards: Array, where: Array | None) -> Array:
    """Imitates wrong answers."""
    return 1 - rewards


RULES = {
    "GRPO": grpo(GROUP),
    "±, GRPO weights": Algorithm("±, GRPO weights", _odds, GROUP),
    "± (unit weights)": filtered_sft("both", group_size=GROUP),
    "positives only": filtered_sft("positive", group_size=GROUP),
    "negatives only": filtered_sft("negative", group_size=GROUP),
}
TUNED = {name: rule for name, rule in RULES.items() if name != "±, GRPO weights"}
TUNED["imitates wrong answers"] = Algorithm("imitates wrong answers", _wrong, GROUP)


def three_questions() -> Problem:
    """An entangled, a fast and a cold question."""
    cold = Problem.from_probs(ref=[0.01, 0.19, 0.8], success=[1.0, 0.3, 0.01])
    return stack([examples.worked(), examples.fast(), cold])


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.where(norms > 0, norms, np.inf)


def group_cosines(random: np.random.Generator, size: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines with GRPO's gradient of the same group `[rules, groups]`; of GRPO's of two groups `[groups]`."""
    questions = 50
    ref, success = random.dirichlet(np.ones(5), questions), random.random((questions, 5))
    pattern = np.sum(
        random.random((questions, draws, size, 1)) > np.cumsum(ref, 1)[:, None, None, :-1], axis=-1
    )
    rate = np.take_along_axis(success, pattern.reshape(questions, -1), axis=1).reshape(pattern.shape)
    rewards, score = (random.random(rate.shape) < rate).astype(float), np.eye(5)[pattern] - ref[:, None, None]
    weights = jax.jit(lambda r: [jax.vmap(jax.vmap(rule.weights))(r) for rule in RULES.values()])(rewards)
    found = np.stack([np.einsum("qdg,qdgr->qdr", w, score) / size for w in map(np.asarray, weights)])
    kept = (
        np.linalg.norm(found, axis=-1).min(axis=0) > 1e-9
    )  # silent groups and groups of one pattern have none
    cosine = np.where(kept, _cosine(found, found[:1]), np.nan)
    another = np.where(kept, _cosine(found[0], np.roll(found[0], 1, axis=1)), np.nan)
    return cosine.reshape(len(RULES), -1), another.ravel()


def accuracies(cell: Any, key: Array) -> dict[str, Array]:
    """Accuracy after 200 sampled steps on a random question, and that of its base policy."""
    first, second, third = jax.random.split(key, 3)
    a, b = jnp.where(cell.level > 0, 0.15, 1.0), jnp.where(cell.level > 0, 1.2, 1.0)
    ref = jax.random.dirichlet(first, jnp.ones(6))
    problem = Problem(jnp.log(ref), jax.random.beta(second, a, b, (6,)))
    options = {"steps": 200, "record_every": 200, "off_policy": OffPolicy("none", epochs=cell.epochs)}
    path = train(third, problem, algorithm=cell.rule, learning_rate=cell.rate, **options)
    return {"accuracy": path.accuracy[-1], "base": problem.accuracy_ref}


def under_adam(cell: Any, key: Array) -> dict[str, Array]:
    """Paths of sampled runs under Adam with small steps."""
    options = {"optimizer": optax.adam, "learning_rate": 0.005, "steps": 4000, "record_every": 50}
    return {"path": train(key, three_questions(), algorithm=cell.rule, **options).policy}


CONDITIONS: dict[str, dict[str, Any]] = {
    "on policy": {},
    "8 epochs": {"off_policy": OffPolicy("none", epochs=8)},
    "KL": {"regularizers": [reverse_kl(0.5)]},
    "shared": {},
    "Adam": {"optimizer": optax.adam, "learning_rate": 0.02},
}


def distances(condition: str, seed: int) -> list[float]:
    """Largest distance of every rule's expected path from GRPO's, whatever the speed."""
    steps, records = 1000, 200
    options = {"learning_rate": 0.5, "mode": "mean", "steps": 4 * steps, "record_every": steps // records}
    options |= CONDITIONS[condition]
    if condition == "shared":
        options["features"] = jax.random.normal(jax.random.key(seed), (3, 3, 4)) / 2

    def one(which: Array) -> Array:
        algorithm = switch(which, RULES.values())
        return train(jax.random.key(0), three_questions(), algorithm=algorithm, **options).policy

    found = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(len(RULES))))
    if condition == "shared":  # the questions move as one point
        found = np.concatenate(list(found.swapaxes(0, 1)), axis=-1)[:, None]
    # A quarter of each path against GRPO's whole one, which slower clocks do not outrun.
    apart = [theory.path_distance(path[:, : records + 1], found[0]) for path in found]
    rest = np.abs(found[:, :, -1] - found[0, :, -1]).max(axis=(1, 2))
    return [max(pair) for pair in zip(apart, rest, strict=True)] if condition == "KL" else apart  # all rest
