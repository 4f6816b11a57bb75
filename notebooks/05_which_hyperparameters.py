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
# # Which group size, learning rate and KL?
#
# In expectation hyperparameters only change the speed along one path. Sampling changes the ending: a large step from a
# small group can lose the best pattern for good. This notebook maps where that happens, and asks for advice.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import advice, plot

jax.config.update("jax_enable_x64", True)
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])

# %% [markdown]
# ## A map of 15 × 6 settings, 64 sampled runs each
#
# Every run has the same number of rollouts, 19 200: a group of 4 gets sixteen times the steps of a group of 64. The group
# size may vary within one compiled program.

# %%
rates, groups = jnp.geomspace(0.02, 10, 15), jnp.array([2, 4, 8, 16, 32, 64])
BUDGET, STEPS = 19_200, 9_600


def final(key, rate, group):
    """π(best) when the budget is spent: a run takes BUDGET / G steps; the rest is done at rate 0."""
    run = qra.training.train(
        key,
        problem,
        algorithm=qra.grpo(64),
        group_size=group,
        learning_rate=rate,
        steps=STEPS,
        record_every=150,
    )
    spent = jnp.searchsorted(run.stats["step"], BUDGET // group, side="right") - 1
    return run.policy[spent, 0]


rows = jnp.meshgrid(jnp.arange(64), jnp.arange(15), jnp.arange(6), indexing="ij")
keys = jax.random.split(jax.random.key(0), rows[0].size)
share = qra.many(final)(keys, rates[rows[1].ravel()], groups[rows[2].ravel()])
found = np.mean(np.asarray(share).reshape(rows[0].shape) > 0.9, axis=0)

# %%
with plot.style():
    figure, ax = plot.new((6.2, 3.4))
    image = ax.pcolormesh(
        np.asarray(rates), np.arange(6), found.T, cmap="cividis", vmin=0, vmax=1, shading="nearest"
    )
    figure.colorbar(image, label="runs that find the best pattern")
    ax.set(xscale="log", xlabel="learning rate η", ylabel="group size G", yticks=range(6))
    ax.set_yticklabels([str(int(g)) for g in groups])
    ax.set_title("At equal rollouts: too slow on the left, lost by noise on the right")
figure

# %% [markdown]
# ## Ask for advice
#
# `qra advise` does such runs around *your* settings and says what limits them first. From Python:

# %%
settings = advice.Settings(algorithm="grpo", learning_rate=0.5, group_size=8, steps=300)
said = advice.advise(problem, settings, runs=512)
print(
    f"as it is: accuracy {said.now.accuracy:.3f} ± {said.now.error:.3f}, found in {said.now.found:.0%} of runs"
)
for one in said.changes[:8]:
    print(f"{one.name:28} {one.accuracy:.3f}  {'(an imperfection taken away)' if one.limit else ''}")
if said.best_change is not None:
    print("best single change:", said.best_change.name)

# %%
with plot.style():
    figure, ax = plot.new()
    paths = said.paths
    ax.fill_between(paths.step, paths.accuracy[0], paths.accuracy[2], color=plot.BEST, alpha=0.2, linewidth=0)
    ax.plot(paths.step, paths.accuracy[1], color=plot.BEST, label="sampled, mean and 10 to 90 %")
    ax.plot(paths.step, paths.expected, "--", color=plot.ACCURACY, label="without sampling noise")
    ax.set(
        xlabel="step", ylabel="accuracy ρ", ylim=(0, 1), title="How far the runs are from their expectation"
    )
    ax.legend(loc="lower right")
figure

# %% [markdown]
# ## What to try next
#
# - A verifier that errs (`tpr`, `fpr`), stale rollouts (`staleness`), clipping (`clip_low`, `clip_high`).
# - `qra advise --ref .05 .70 .25 --success .9 .6 .1 --eta .5 --group-size 8 --steps 300 --plot advice.png`
# - `06_sweep_a_million` for larger maps that survive being killed.
