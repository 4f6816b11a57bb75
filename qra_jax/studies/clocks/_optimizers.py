"""What the study of optimisers runs: one program for all rules, problems by number, matched rates, the flow of Adam."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array
from matplotlib.axes import Axes

from qra_jax import flow, orbit
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.training import gradient_covariance, train

RULES = ["SGD", "momentum", "Adam", "sign"]
NATURAL = "natural gradient"
PATTERNS, GROUP, EVERY, EARLY = 10, 16, 10, 50


def rule(which: Array, rate: Array) -> optax.GradientTransformation:
    """The optimiser with this number out of RULES, one program for all."""
    rules = [optax.sgd(rate), optax.sgd(rate, momentum=0.9), optax.adam(rate), optax.sign_sgd(rate)]

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        both = [rule.update(updates, one, params) for rule, one in zip(rules, state, strict=True)]
        step = jax.tree.map(lambda *parts: jnp.stack(parts)[which.astype(int)], *(step for step, _ in both))
        return step, tuple(new for _, new in both)

    return optax.GradientTransformation(lambda params: tuple(rule.init(params) for rule in rules), update)


def options_of(kind: str, which: Array) -> dict[str, Any]:
    """Options of `train` for a rule of RULES, or for the natural gradient."""
    natural = {"optimizer": optax.sgd, "geometry": "natural"}
    return natural if kind == NATURAL else {"optimizer": partial(rule, which)}


def named() -> Problem:
    """The four named problems."""
    cold = Problem.from_probs(ref=[0.01, 0.19, 0.8], success=[1.0, 0.3, 0.01])
    return stack([examples.fast(), examples.worked(), examples.entangled(21.0), cold])


def problem_of(number: Array, seed: int) -> Problem:
    """A named problem with patterns without mass up to PATTERNS, or from number 4 on a random one."""
    known = jax.tree.map(lambda x: x[jnp.clip(number, 0, 3)], named())
    one, two = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
    rest = (0, PATTERNS - 3)
    padded = jnp.pad(known.log_ref, rest, constant_values=-jnp.inf), jnp.pad(known.success, rest)
    drawn = jnp.log(jax.random.dirichlet(one, jnp.ones(PATTERNS))), jax.random.uniform(two, (PATTERNS,))
    return Problem(*(jnp.where(number < 4, a, b) for a, b in zip(padded, drawn, strict=True)))


def settled(share: Array) -> Array:
    """Step from which on the share of r* stays above .9, of records every EVERY steps; inf if never."""
    below = share < 0.9
    step = jnp.where(jnp.any(below), share.shape[0] - jnp.argmax(below[::-1]), 0)
    return jnp.where(below[-1] | ~jnp.isfinite(share[-1]), jnp.inf, step * EVERY)


def matched(cell: Any, steps: int, seed: int) -> dict[str, Array]:
    """Exact means at the rate whose first EARLY steps gain a tenth of what accuracy can still rise."""
    question, options = problem_of(cell.problem, seed), options_of(cell.kind, cell.rule)
    options |= {"mode": "mean", "algorithm": grpo(GROUP)}
    run = partial(train, jax.random.key(0), question, **options)
    grid = jnp.logspace(-5, 2, 113)
    early = jax.vmap(lambda rate: run(steps=EARLY, record_every=EARLY, learning_rate=rate).log_policy)(grid)
    rho = jnp.exp(early) @ question.success
    goal = 0.1 * (question.success.max() - question.accuracy_ref)
    gain = jnp.maximum(rho[:, 1] - rho[:, 0], 1e-300)
    far = jnp.where(jnp.arange(113) > jnp.argmax(gain), jnp.inf, abs(jnp.log(gain / goal)))  # before it turns
    best = jnp.argmin(far)
    path = run(steps=steps, record_every=EVERY, learning_rate=grid[best]).policy
    moved = jnp.where(question.ref > 0, early[best, 1] - early[best, 0], 0.0)
    moved = moved - jnp.mean(moved)
    effective = jnp.sum(moved**2) ** 2 / jnp.sum(moved**4)
    return {"reached": settled(path[:, question.best]), "path": path[:, :3], "moved": effective}


def both(run: lab.Run, function: Any, axes: dict[str, Any], **options: Any) -> xr.Dataset:
    """Every rule, and the natural gradient, along `rule`."""
    parts = []
    for kind, rules in (("rules", range(4)), (NATURAL, range(1))):
        found = lab.cells(function, key=run.key, axes={"kind": [kind], "rule": rules, **axes}, **options)
        found = found.isel(kind=0, drop=True)
        parts.append(found.assign_coords(rule=RULES if kind == "rules" else [NATURAL]))
    joined: Any = xr.concat(parts, "rule")
    return joined


def noisy_adam(problem: Problem, points: int) -> Array:
    """The flow ḡ/√(ḡ² + Var g) of GRPO from π_ref: its policies `[points, patterns]`."""
    algorithm = grpo(GROUP)

    def velocity(logits):
        log_policy = jax.nn.log_softmax(logits)
        mean = flow.drift(problem, log_policy, algorithm=algorithm)
        noise = jnp.diag(gradient_covariance(problem, log_policy, algorithm=algorithm))
        return mean / jnp.sqrt(mean**2 + noise)

    def euler(logits, _):
        logits = jax.lax.fori_loop(0, 10, lambda _, z: z + 0.005 * velocity(z), logits)
        return logits, jax.nn.softmax(logits)

    return jax.lax.scan(euler, problem.log_ref, length=points)[1]


def sampled(cell: Any, key: Array, steps: int) -> dict[str, Array]:
    """Sampled groups of a named problem: settled steps."""
    question = jax.tree.map(lambda x: x[cell.problem.astype(int)], named())
    options = {"algorithm": grpo(GROUP), "learning_rate": cell.rate, **options_of(cell.kind, cell.rule)}
    path = train(key, question, steps=steps, record_every=EVERY, **options)
    return {"reached": settled(path.policy[:, question.best])}


def slow_adam(cell: Any, key: Array, rate: float, steps: int, memory: float) -> dict[str, Array]:
    """Adam on sampled groups of the worked example."""
    options = {"steps": steps, "record_every": steps // 100, "learning_rate": rate, "algorithm": grpo(GROUP)}
    return {"path": train(key, examples.worked(), optimizer=partial(optax.adam, b2=memory), **options).policy}


def lines(sgd: Any, natural: Any) -> Array:
    """Both orbits of the worked example at these orbit times, and the flow of noisy Adam: `[3, points, patterns]`."""
    problem, found = examples.worked(), []
    for geometry, taus in (("softmax", sgd), ("natural", natural)):
        found.append(jnp.exp(jax.vmap(partial(orbit.policy, problem, geometry=geometry))(jnp.asarray(taus))))
    found.append(noisy_adam(problem, len(sgd)))
    return jnp.stack([jnp.vstack([problem.ref, line]) for line in found])


def tuned(reached: xr.DataArray, most: int) -> xr.DataArray:
    """Settled steps at the rate that was best on other seeds; "never" counts as the last step."""
    steps = reached.clip(EVERY, most)
    half = steps.sizes["seed"] // 2
    early = xr.DataArray(np.log(steps)).isel(seed=slice(None, half)).mean("seed", skipna=False)
    best = early.fillna(-np.inf).argmin("rate")  # what is unknown could be the best, and leaves open
    return steps.isel(seed=slice(half, None)).isel(rate=best)


def bars(steps: xr.DataArray, ax: Axes, limit: int, title: str, colors: dict[str, str]) -> None:
    """Steps by problem and rule; where a rule is not there at the end, a mark."""
    panels.frame(title, ax, x="", y="steps until π(r*) stays above .9", log="y", ylim=(5, 12 * limit))
    panels.bars(np.minimum(steps, limit), ax, x="problem", by="rule", colors=colors)
    for (i, j), value in np.ndenumerate(steps.transpose("problem", "rule").values):
        if not np.isfinite(value):
            ax.text(i + (j - 2) * 0.16, limit, ">", ha="center", va="bottom", fontsize=9)
