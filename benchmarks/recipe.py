"""Gradient of a whole recipe, SFT and then RLVR, beside its forward cost, diffrax's own adjoint and differences.

    python benchmarks/recipe.py          # about five minutes on two cores

SFT on a mixture, then a flow of RLVR with a KL term whose β falls: the derivative of the final accuracy with respect
to every number of recipe and problem. One problem, and 64 side by side.
"""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from _common import compiled, environment, interleaved, save, show, summary

jax.config.update("jax_enable_x64", True)

from qra_jax import problem, recipe as R  # noqa: E402

SIDE, REPEATS, DIRECTIONS, STEP = 64, 40, 8, 1e-4


def whole(patterns):
    """The recipe and problem as one vector, and the final accuracy as a function of it and an adjoint."""
    one = problem.random(jax.random.key(0), patterns)
    mixture = jax.nn.one_hot(one.best, patterns) / 2 + 0.5 / patterns
    plan = R.Recipe((R.sft(mixture=mixture, time=2.0), R.rlvr(time=10.0, beta=R.Schedule([0.1, 0.02]))))
    numbers, restore = jax.flatten_util.ravel_pytree(
        jax.tree.map(lambda leaf: jnp.asarray(leaf, float), (plan, one))
    )

    def accuracy(numbers, adjoint=None):
        plan, one = restore(numbers)
        return plan.run(one, adjoint=adjoint).accuracy

    return numbers, accuracy


def measure(patterns, side):
    """Timings of one size; ratios are of the least times, which other work on the machine disturbs least."""
    numbers, accuracy = whole(patterns)
    contenders = {
        "forward": lambda x: accuracy(x, diffrax.ForwardMode()),
        "gradient": jax.grad(accuracy),
        "gradient, checkpoints": jax.grad(lambda x: accuracy(x, diffrax.RecursiveCheckpointAdjoint())),
        "gradient, forward mode": jax.jacfwd(lambda x: accuracy(x, diffrax.ForwardMode())),
    }
    inputs = jnp.tile(numbers, (side, 1)) if side > 1 else numbers
    runs, compiling = {}, {}
    for name, function in contenders.items():
        runs[name], compiling[name] = compiled(jax.vmap(function) if side > 1 else function, inputs)
    seconds = interleaved({name: (lambda run=run: run(inputs)) for name, run in runs.items()}, REPEATS)
    forward = summary(seconds["forward"])["min_s"]
    rows = []
    for name, taken in seconds.items():
        found = summary(taken)
        rows.append(
            {
                "what": name,
                "patterns": patterns,
                "numbers": numbers.size,
                "side by side": side,
                "least ms": 1e3 * found["min_s"],
                "median ms": 1e3 * found["median_s"],
                "× forward": found["min_s"] / forward,
                "compile s": compiling[name],
            }
        )
    return rows


def error(patterns):
    """Largest relative error against central differences along random directions."""
    numbers, accuracy = whole(patterns)
    value = jax.jit(lambda x: accuracy(x, diffrax.ForwardMode()))
    slope = jax.jit(jax.grad(accuracy))(numbers)
    errors = []
    for key in jax.random.split(jax.random.key(1), DIRECTIONS):
        towards = jax.random.normal(key, numbers.shape)
        difference = (value(numbers + STEP * towards) - value(numbers - STEP * towards)) / (2 * STEP)
        errors.append(abs(float(slope @ towards - difference)) / abs(float(difference)))
    return max(errors)


def main():
    around = environment("diffrax", "qra-jax")
    rows = [row for patterns in (3, 10) for side in (1, SIDE) for row in measure(patterns, side)]
    show("Gradient of SFT, then RLVR, in all its numbers", rows)
    errors = {str(patterns): error(patterns) for patterns in (3, 10)}
    print(f"largest relative error against differences: {np.max(list(errors.values())):.1e}")
    print(save("recipe", {"environment": around, "rows": rows, "relative_error": errors}).name)


if __name__ == "__main__":
    main()
