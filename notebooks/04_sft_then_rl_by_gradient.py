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
# Fine-tuning on demonstrations before RL can turn an entangled start into a fast one. Too little leaves the stall, too
# much is wasted. Because every phase is differentiable, the amount can be found by gradient descent *through* SFT and
# RL. Time is learning rate × steps. The notebook takes about half a minute on two idle cores, nearly all of it
# compiling.

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
# SFT for a time s, then GRPO until π(best) = 0.99. A share of the demonstrations shows the best pattern; the rest are
# the model's own choices. One compiled program gives the total time of both phases, and its derivative in s, on a grid
# of SFT times for four such shares. First half of them:


# %%
def total(time, share):
    phases = (
        recipe.sft(demonstrations=share, time=time),
        recipe.rlvr(until=0.99, algorithm=qra.grpo(8)),
    )
    return jnp.exp(recipe.Recipe(phases).run(problem).log_cost)


shares, times = jnp.array([0.2, 0.5, 0.8, 1.0]), jnp.linspace(1e-6, 30, 61)
one = jax.value_and_grad(total)
costs, slopes = jax.jit(jax.vmap(lambda share: jax.vmap(lambda time: one(time, share))(times)))(shares)

# %%
plan = recipe.Recipe(
    (recipe.sft(demonstrations=0.5, time=3.0), recipe.rlvr(until=0.99, algorithm=qra.grpo(8)))
)
best = recipe.optimize(plan, problem, free=["0.time"])
found, least = float(best.recipe.phases[0].time), float(jnp.exp(best.value))
print(f"SFT for {found:.2f}: {least:.1f} in all, without SFT {costs[1, 0]:.1f}")

# %%
cost, slope = costs[1], slopes[1]
with plot.style():
    figure, ax = plot.new()
    ax.plot(times, cost, color=plot.BEST)
    for i in (2, 4, 7, 16, 25, 34, 43, 52):
        near = times[i] + np.array([-0.9, 0.9])
        ax.plot(near, cost[i] + slope[i] * (near - times[i]), color=plot.ACCURACY, linewidth=1)
    ax.plot(found, least, "o", color=plot.RIVAL)
    ax.set(xlabel="SFT time", ylabel="SFT and RL time in all")
    ax.set_title(f"SFT for {found:.1f} (dot) cuts the time from {cost[0]:.0f} to {least:.0f}")
figure

# %% [markdown]
# The dot is where gradient descent ended. The black lines are tangents at some points of the grid: their slopes come
# from automatic differentiation through SFT and RL, and they touch the curve.
#
# ## What should the demonstrations teach?
#
# `sensitivity` differentiates the training time in the base model: raising which pattern a little saves most?

# %%
sensitivity = recipe.sensitivity(problem)
for r, (name, value) in enumerate(zip(["best", "rival", "poor"], sensitivity.teach, strict=True)):
    print(
        f"teach {name:6} d log T = {value:+.2f}  (π_ref = {problem.ref[r]:.2f}, p = {problem.success[r]:.1f})"
    )

# %% [markdown]
# Negative saves time: the best pattern, and then the *poor* one, since mass on it is mass the rival does not have.
#
# ## How good must demonstrations be?
#
# The optimum of each curve is where its slope goes through zero:

# %%
optima = []
for share, cost, slope in zip(shares, costs, slopes, strict=True):
    i = int(jnp.argmax(slope > 0))
    optima.append(float(times[i - 1] + (times[i] - times[i - 1]) * slope[i - 1] / (slope[i - 1] - slope[i])))
    print(f"{share:4.0%} show the best pattern: SFT for {optima[-1]:4.1f}, {cost.min():.0f} in all")
assert (np.diff(costs.min(axis=1)) < 0).all()  # better demonstrations: less time in all
assert (
    costs[:-1, -1] > 1.2 * costs[:-1].min(axis=1)
).all()  # more than the best amount of imperfect ones costs
assert 3 * max(optima[:-1]) < optima[-1] < times[-1]  # perfect ones help for longest

with plot.style():
    figure, ax = plot.new()
    for share, cost, when, shade in zip(shares, costs, optima, [0.7, 0.45, 0.2, 0.0], strict=True):
        ax.plot(times, cost, color=(shade,) * 3, label=f"{share:.0%} show the best pattern")
        ax.plot(when, np.interp(when, times, cost), "o", color=plot.RIVAL)
    ax.set(xlabel="SFT time", ylabel="SFT and RL time in all")
    ax.set_title("Better demonstrations: less time in all; imperfect ones have a best amount")
    ax.legend()
figure

# %% [markdown]
# Imperfect demonstrations teach their mixture and no more, so SFT soon wins nothing and costs time. Perfect ones go on
# helping for much longer, though the curve is nearly flat there: most of the gain is in the first few units.
#
# ## What to try next
#
# - Free more numbers: `recipe.optimize(plan, problem, free=["0.time", "0.demonstrations"], ...)`, or a budget.
# - `recipe.interleaved`: demonstrations only on questions that are not solved yet.
# - `qra reproduce sft-first sft-then-rl what-to-teach`.
