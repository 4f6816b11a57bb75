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
# # When does self-certainty reward turn bad?
#
# Internal rewards need no verifier: the model is rewarded for being sure. Accuracy often rises first and falls later.
# On the theory's question that can be computed: what rises is what the reward and the truth agree on.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import plot

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## A question where certainty misleads
#
# A pattern that is right with probability p is *sure* when p is near 0 or near 1. The third pattern below is nearly always
# wrong, and sure of it.

# %%
problem = qra.Problem.from_probs(ref=[0.30, 0.67, 0.03], success=[0.80, 0.45, 0.02])
rewards = [qra.verifiable(), qra.self_certainty(floor=1e-3), qra.majority_vote()]
for reward in rewards:
    slope = qra.theory.initial_slope(problem, reward=reward)
    print(f"{reward.name:18} initial slope of accuracy {slope:+.3f}")

# %% [markdown]
# A positive slope under self-certainty: at the start the sure patterns are the right ones. Then follow it:

# %%
ts = np.concatenate([[0.0], np.geomspace(0.05, 2000, 300)])
with plot.style():
    figure, ax = plot.new()
    for reward, color in zip(rewards, [plot.BEST, plot.RIVAL, plot.CYCLE[2]], strict=True):
        flow = qra.flow.solve(problem, ts=ts, reward=reward)
        line = "--" if reward is rewards[-1] else "-"
        ax.plot(ts[1:], flow.accuracy[1:], line, color=color, label=reward.name)
    ax.set(xscale="log", ylim=(0, 1), xlabel="time t", ylabel="accuracy ρ")
    ax.set_title("Certainty rewards what is sure, and here the surest pattern is wrong")
    ax.legend()
figure

# %% [markdown]
# The vote of the majority runs with the verifier, since the majority is right from the start.
#
# ## When to stop
#
# `event="peak"` ends a flow where accuracy stops rising.

# %%
flow = qra.flow.solve(problem, ts=[2000.0], reward=rewards[1], event="peak")
print(f"accuracy peaks at t = {flow.stats['event_time']:.2f} with {flow.accuracy[-1]:.3f}")

# %% [markdown]
# ## How common is it?
#
# Two thousand random questions: four patterns each, success rates from a Beta distribution. In which does accuracy end
# lower than it began?


# %%
def ends(key, mean):
    own = jax.random.split(key)
    success = jax.random.beta(own[0], 2 * mean, 2 * (1 - mean), (4,))
    question = qra.Problem(jnp.log(jax.random.dirichlet(own[1], jnp.ones(4))), success)
    path = qra.flow.solve(
        question, ts=[0.0, 300.0], reward=qra.self_certainty(floor=1e-3), rtol=1e-5, atol=1e-5
    )
    return path.accuracy


means = jnp.linspace(0.3, 0.9, 7)
keys = jax.random.split(jax.random.key(0), 300)
accuracy = jax.jit(jax.vmap(lambda mean: jax.vmap(lambda key: ends(key, mean))(keys)))(means)
worse = jnp.mean(accuracy[..., 1] < accuracy[..., 0] - 0.01, axis=1)
with plot.style():
    figure, ax = plot.new((5.6, 3.2))
    error = np.sqrt(worse * (1 - worse) / len(keys))
    ax.errorbar(means, worse, error, marker="o", capsize=2, color=plot.RIVAL)
    ax.set(
        xlabel="mean success rate of the patterns", ylabel="share of questions that end worse", ylim=(0, 1)
    )
    ax.set_title("Self-certainty helps good models and harms weak ones")
figure

# %% [markdown]
# ## What to try next
#
# - Other internal rewards: `qra.answer_entropy()`, `qra.trajectory_log_prob()`.
# - A verifier that errs: `qra.verifiable(tpr=.8, fpr=.3)`, and `qra reproduce noisy-verifier`.
# - A real network: `qra reproduce transformer-rlif`.
