r"""Does a network that shares parameters, features and tokens select patterns as the tabular theory says?

A small decoder learns sequences `question, pattern, steps, marker, answer, end` with known shares π_ref(r) and success
rates p_r, and is then trained by GRPO on its own samples; π(r|q) and p(a*|q, r) are read by teacher forcing. It starts
in Regime 1 (all rivals below the base accuracy) or in Regime 2 (one above). Where answers are *fixed*, an answer counts
as right with its pattern's probability, whatever it says, so that Assumption 5.1 (success rates stay) is true by
construction. Where they are *learnt*, each question has a right answer of its own.

The tabular problem that the base network is, its own π and p, has an orbit, and theory predicts of fixed answers:

- *path*, free of any clock: the network runs along the orbit of the softmax policy gradient to its end. The scale is
  how far that orbit is from the natural gradient's and from the straight line: half of the smaller is near;
- *first integral*: with w = g/π (g fixed by Σ log w), [(w_i − w_j) − (u_i − u_j)] / [(w_i − w_k) − (u_i − u_k)] is
  (p_i − p_j)/(p_i − p_k) anywhere on the orbit. Their quotient is 1; on the natural orbit it is a third and two;
- *clock*: the orbit time of the nearest point is proportional to network steps, at one rate for both starts.

With learnt answers the theory has lost its assumption. The gain of accuracy is split into selection, Σ∫p dπ, and
answers, Σ∫π dp, on the questions that training asks and on others, which have the same shares and success rates.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Evidence, Run, Study, all_of, dataset, mean, panels, ratio, scale
from qra_jax.studies.networks._bases import learnt, repeated
from qra_jax.studies.networks._paths import crossing, gains
from qra_jax.transformer import rl

study = Study(__name__, title="Selection in a network: on the orbit with fixed answers, and with answers learnt")

STARTS = {"Regime 1": examples.fast, "Regime 2": examples.worked}
ARMS = {"SGD": (True, False), "Adam": (True, True), "learnt": (False, False)}
"""Arms: whether answers are fixed, and whether Adam is used."""
PATTERNS = ["best", "rival", "third"]
QUESTIONS, HELD_OUT, GROUP = 16, 4, 8
RATES = {"SGD": 0.003, "Adam": 1e-4}
WIDTH, EVERY, PRETRAINING = 32, 8, 300
SEEDS, STEPS = scale(4, 12), scale(256, 320)
HIT, SEEN = 0.9, 0.01
"""Share of the best pattern that ends a race; least share with which a point enters the first integral."""
NEAR, ALIKE, STILL, STRAIGHT = 0.05, 0.25, 0.02, 0.05
"""Total variation between questions; relative difference of times; change of a success rate; deviation from a line."""
TIMES = np.concatenate([[0.0], np.logspace(-2, 4, 1200)])
"""GRPO times at which orbits are evaluated."""


@study.experiment()
def runs(run: Run) -> xr.Dataset:
    """π and p of every question along training, in every arm, from both starts; one program."""
    seeds, steps = run(SEEDS), run(STEPS)
    answers = np.random.default_rng(run.seed).permutation(np.arange(QUESTIONS) % 2)
    problems = [stack([start()] * QUESTIONS) for start in STARTS.values()]
    tasks = [
        transformer.controlled(problem, answer_key=answers, coin=fixed, held_out=HELD_OUT)
        for fixed, _ in ARMS.values()
        for problem in problems
    ]
    model, shown = transformer.Decoder(tasks[0].vocabulary, width=WIDTH), tasks[0].demonstrations()
    bases = run.bank.get(learnt, tuple(tasks[:2]), model, seed=run.seed, seeds=seeds, steps=PRETRAINING)

    def look(params: Any) -> dict[str, jax.Array]:
        seen = transformer.read_out(model, params, shown)
        return {"policy": seen.policy, "success": seen.success, "leak": jnp.max(seen.leak)}

    def one(key: Any, params: Any, task: Any, adam: Any) -> Any:
        options = {"algorithm": grpo(GROUP), "steps": steps, "questions": QUESTIONS - HELD_OUT, "record_every": EVERY}
        options |= {"learning_rate": jnp.where(adam, RATES["Adam"], RATES["SGD"]), "optimizer": rl.sgd_or_adam(adam)}
        done = transformer.train(key, model, params, task, probe=look, **options)
        return done.seen | {"status": done.status}

    count, shape = len(tasks), (len(ARMS), len(STARTS), seeds)
    keys = jnp.tile(jax.random.split(jax.random.key(run.seed + 1), seeds), count)
    params = jax.tree.map(lambda leaf: np.tile(leaf.reshape(-1, *leaf.shape[2:]), (len(ARMS),) + (1,) * (leaf.ndim - 2)), bases)
    adam = np.repeat([adam for _, adam in ARMS.values()], len(STARTS) * seeds)
    seen = transformer.side_by_side(one)(keys, params, repeated(tasks, seeds), adam)
    seen = {name: np.asarray(value).reshape(*shape, *value.shape[1:]) for name, value in seen.items()}
    dims = {"policy": ("step", "question", "pattern"), "leak": ("step",), "status": ()}
    dims["success"] = dims["policy"]
    coords = {"arm": list(ARMS), "start": list(STARTS), "step": np.arange(0, steps + 1, EVERY), "pattern": PATTERNS}
    return dataset({name: (("arm", "start", "seed", *dims[name]), value) for name, value in seen.items()}, coords)
