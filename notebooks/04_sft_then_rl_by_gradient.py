# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much SFT first, and on what?
#
# Fine-tuning on demonstrations before RL can turn an entangled start into a fast one. Too little leaves the stall, too much
# is wasted. Because every phase is differentiable, the amount can be found by gradient descent *through* SFT and RL.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import plot, recipe

jax.config.update("jax_enable_x64", True)
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])

# %% [markdown]
# ## The trade-off
#
# SFT for a time s on demonstrations half of which show the best pattern, then GRPO until π(best) = 0.99.


# %%
def total(time):
    plan = recipe.Recipe(
        (recipe.sft(demonstrations=0.5, time=time), recipe.rlvr(until=0.99, algorithm=qra.grpo(8)))
    )
    return jnp.exp(plan.run(problem).log_cost)


times = jnp.linspace(0.05, 20, 60)
cost = jax.jit(jax.vmap(total))(times)
slope = jax.jit(jax.vmap(jax.grad(total)))(times)

# %%
plan = recipe.Recipe(
    (recipe.sft(demonstrations=0.5, time=3.0), recipe.rlvr(until=0.99, algorithm=qra.grpo(8)))
)
best = recipe.optimize(plan, problem, free=["0.time"])
print(
    f"SFT for {best.recipe.phases[0].time:.2f}: {jnp.exp(best.value):.1f} in all, without SFT {total(1e-6):.1f}"
)

# %%
with plot.style():
    figure, ax = plot.new()
    ax.plot(times, cost, color=plot.BEST)
    for i in range(5, 60, 9):
        near = times[i] + np.array([-0.9, 0.9])
        ax.plot(near, cost[i] + slope[i] * (near - times[i]), color=plot.ACCURACY, linewidth=1)
    ax.plot(best.recipe.phases[0].time, jnp.exp(best.value), "o", color=plot.RIVAL)
    ax.set(xlabel="SFT time", ylabel="SFT and RL time in all")
    ax.set_title("The optimum that gradient descent found (dot), with gradients on the way (black)")
figure

# %% [markdown]
# ## What should the demonstrations teach?
#
# `sensitivity` differentiates the training time in the base model: raising which pattern a little saves most?

# %%
found = recipe.sensitivity(problem)
for r, (name, value) in enumerate(zip(["best", "rival", "poor"], found.teach, strict=True)):
    print(
        f"teach {name:6} d log T = {value:+.2f}  (π_ref = {problem.ref[r]:.2f}, p = {problem.success[r]:.1f})"
    )

# %% [markdown]
# Negative saves time: the best pattern, and then the *poor* one, since mass on it is mass the rival does not have.
#
# ## How good must demonstrations be?

# %%
with plot.style():
    figure, ax = plot.new()
    for share, shade in [(0.2, 0.7), (0.5, 0.45), (0.8, 0.2), (1.0, 0.0)]:

        def cost_of(time, share=share):
            phases = (
                recipe.sft(demonstrations=share, time=time),
                recipe.rlvr(until=0.99, algorithm=qra.grpo(8)),
            )
            return jnp.exp(recipe.Recipe(phases).run(problem).log_cost)

        ax.plot(
            times,
            jax.jit(jax.vmap(cost_of))(times),
            color=(shade,) * 3,
            label=f"{share:.0%} show the best pattern",
        )
    ax.set(xlabel="SFT time", ylabel="SFT and RL time in all", title="Good demonstrations need little time")
    ax.legend()
figure

# %% [markdown]
# ## What to try next
#
# - Free more numbers: `recipe.optimize(plan, problem, free=["0.time", "0.demonstrations"], ...)`, or a budget.
# - `recipe.interleaved`: demonstrations only on questions that are not solved yet.
# - `qra reproduce sft-first sft-then-rl what-to-teach`.
