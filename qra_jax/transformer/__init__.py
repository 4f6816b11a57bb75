"""The token-level twin: a small decoder pre-trained on known pattern statistics, post-trained by the same
algorithms, and read exactly.

    task = transformer.controlled(qra.problem.stack([problem] * 16))
    model = transformer.Decoder(task.vocabulary)
    base = transformer.learn(keys, model, task.demonstrations, steps=400, questions=16)
    run = transformer.train(key, model, params, task, algorithm=qra.grpo(8), steps=300, questions=16,
                            learning_rate=1e-3)
"""

from qra_jax.transformer import (
    batch,
    circuits,
    credit,
    evolution,
    history,
    kernel,
    learning,
    masks,
    model,
    parts,
    penalty,
    preferences,
    probe,
    procedures,
    reward,
    rl,
    sampling,
    surrogate,
    task,
    tree_task as tree_tasks,
    weights,
)
from qra_jax.transformer.evolution import evolve
from qra_jax.transformer.learning import learn, side_by_side
from qra_jax.transformer.masks import TokenMask
from qra_jax.transformer.model import Decoder, Lookup, init, score
from qra_jax.transformer.preferences import prefer
from qra_jax.transformer.probe import read_out
from qra_jax.transformer.procedures import Arithmetic, arithmetic
from qra_jax.transformer.rl import Run, train
from qra_jax.transformer.sampling import Questions, Rollouts, sample
from qra_jax.transformer.task import Controlled, Demonstrations, Task, Verification, controlled
from qra_jax.transformer.tree_task import TreeTask, tree_task

__all__ = [
    "Arithmetic",
    "Controlled",
    "Decoder",
    "Demonstrations",
    "Lookup",
    "Questions",
    "Rollouts",
    "Run",
    "Task",
    "TokenMask",
    "TreeTask",
    "Verification",
    "arithmetic",
    "batch",
    "circuits",
    "controlled",
    "credit",
    "evolution",
    "evolve",
    "history",
    "init",
    "kernel",
    "learn",
    "learning",
    "masks",
    "model",
    "parts",
    "penalty",
    "prefer",
    "preferences",
    "probe",
    "procedures",
    "read_out",
    "reward",
    "rl",
    "sample",
    "sampling",
    "score",
    "side_by_side",
    "surrogate",
    "task",
    "train",
    "tree_task",
    "tree_tasks",
    "weights",
]
