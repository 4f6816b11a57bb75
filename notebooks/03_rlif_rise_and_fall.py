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
# Internal rewards need no verifier: the model is rewarded for being sure. Accuracy may rise first and fall later, or
# rise for good, or only fall: it depends on whether the surest pattern is right. On the theory's question that can be
# computed.

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
# A pattern that is right with probability p is *sure* when p is near 0 or near 1. The third pattern below is nearly
# always wrong, and sure of it.

# %%
problem = qra.Problem.from_probs(ref=[0.30, 0.67, 0.03], success=[0.80, 0.45, 0.02])
rewards = [qra.verifiable(), qra.self_certainty(floor=1e-3), qra.majority_vote()]
for reward in rewards:
    slope = qra.theory.initial_slope(problem, reward=reward)
    print(f"{reward.name:18} initial slope of accuracy {slope:+.3f}")

# %% [markdown]
# The slope under self-certainty is positive: weighted by their shares, the surer patterns are at the start the better
# ones, since the third one has next to no share yet. Then follow it:

# %%
ts = np.concatenate([[0.0], np.geomspace(0.05, 2000, 300)])
with plot.style():
    figure, ax = plot.new()
    lines = [
        dict(color=plot.BEST, linewidth=6, alpha=0.35),  # wide, since another line lies on it
        dict(color=plot.RIVAL),
        dict(color=plot.CYCLE[2], linestyle="--"),
    ]
    for reward, line in zip(rewards, lines, strict=True):
        flow = qra.flow.solve(problem, ts=ts, reward=reward)
        ax.plot(ts[1:], flow.accuracy[1:], label=reward.name, **line)
    ax.set(xscale="log", ylim=(0, 1), xlabel="time t", ylabel="accuracy ρ")
    ax.set_title("Certainty rewards what is sure, and here the surest pattern is wrong")
    ax.legend()
figure

# %% [markdown]
# Majority vote (the answer that the model gives most often counts as right) runs with the verifier, since the majority
# is right from the start.
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
# Not always, and not never. Random questions, four patterns each, success rates from a Beta distribution, 300 questions
# for each mean success rate: in which does accuracy end lower than it began, and in which of them did it rise at first?


# %%
def ends(key, mean):
    own = jax.random.split(key)
    success = jax.random.beta(own[0], 2 * mean, 2 * (1 - mean), (4,))
    question = qra.Problem(jnp.log(jax.random.dirichlet(own[1], jnp.ones(4))), success)
    path = qra.flow.solve(
        question, ts=[0.0, 300.0], reward=qra.self_certainty(floor=1e-3), rtol=1e-5, atol=1e-5
    )
    return path.accuracy, qra.theory.initial_slope(question, reward=qra.self_certainty(floor=1e-3))


means = jnp.linspace(0.3, 0.9, 7)
keys = jax.random.split(jax.random.key(0), 300)
accuracy, slope = jax.jit(jax.vmap(lambda mean: jax.vmap(lambda key: ends(key, mean))(keys)))(means)
change = accuracy[..., 1] - accuracy[..., 0]
worse, better = jnp.mean(change < -0.01, axis=1), jnp.mean(change > 0.01, axis=1)
turned = jnp.mean((change < -0.01) & (slope > 0), axis=1)
shares = [
    (better, "o-", plot.BEST, "ends better"),
    (worse, "o-", plot.RIVAL, "ends worse"),
    (turned, "s--", plot.RIVAL, "… after a rise at first"),
]
assert turned.max() <= 0.05
with plot.style():
    figure, ax = plot.new((6.4, 3.4))
    for share, line, color, name in shares:
        error = np.sqrt(share * (1 - share) / len(keys))
        ax.errorbar(means, share, error, fmt=line, capsize=2, color=color, label=name)
    ax.set(xlabel="mean success rate of the patterns", ylabel="share of questions", ylim=(0, 1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_title(
        f"Self-certainty ends worse in {worse[0]:.0%} of cases at mean success {means[0]:.1f}, "
        f"in {worse[-1]:.0%} at {means[-1]:.1f}",
        fontsize=10,
    )
figure

# %% [markdown]
# Where patterns are mostly right, sure means right, and the reward helps. Where they are mostly wrong, sure means
# wrong, and it harms, nearly always from the start. A rise that turns into a fall, as in the question above, takes a
# surest pattern that is wrong *and* rare: on these random questions it happens in one of twenty or fewer.

# %% [markdown]
# ## What to try next
#
# - Other internal rewards: `qra.answer_entropy()`, `qra.trajectory_log_prob()`.
# - A verifier that errs: `qra.verifiable(tpr=.8, fpr=.3)`, and `qra reproduce noisy-verifier`.
# - A real network: `qra reproduce transformer-rlif`.
