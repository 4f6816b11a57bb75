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
# In expectation (without a KL term, and as long as steps are small) group size and learning rate only change the speed
# along one path. Sampling changes the ending: a large step from a small group can lose the best pattern for good. A KL
# term changes the ending too. This notebook maps both, and asks for advice.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import consult, plot

jax.config.update("jax_enable_x64", True)
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])

# %% [markdown]
# ## A map of 15 × 6 settings, 64 sampled runs each
#
# Every run has the same number of rollouts, 19 200: a group of 4 gets sixteen times the steps of a group of 64. The
# group size may vary within one compiled program. A run has found the best pattern when that holds 0.9 (`consult.FOUND`)
# or more.

# %%
rates, groups = jnp.geomspace(0.02, 10, 15), jnp.array([2, 4, 8, 16, 32, 64])
BUDGET, STEPS = 19_200, 9_600


def final(key, rate, group):
    """π(best) when the budget is spent, after BUDGET / G steps.

    All runs take STEPS steps, so that one program serves all; the path is read at the step where the budget is spent.
    """
    run = qra.training.train(
        key,
        problem,
        algorithm=qra.grpo(64).with_group_size(group),
        learning_rate=rate,
        steps=STEPS,
        record_every=150,
    )
    spent = jnp.searchsorted(run.stats["step"], BUDGET // group, side="right") - 1
    return run.policy[spent, 0]


rows = jnp.meshgrid(jnp.arange(64), jnp.arange(15), jnp.arange(6), indexing="ij")
keys = jax.random.split(jax.random.key(0), rows[0].size)
share = qra.many(final)(keys, rates[rows[1].ravel()], groups[rows[2].ravel()])
found = np.mean(np.asarray(share).reshape(rows[0].shape) >= consult.FOUND, axis=0)

# %%
with plot.style():
    figure, ax = plot.new((6.2, 3.4))
    image = ax.pcolormesh(
        np.asarray(rates), np.arange(6), found.T, cmap="cividis", vmin=0, vmax=1, shading="nearest"
    )
    figure.colorbar(image, label="runs that find the best pattern")
    ax.set(xscale="log", xlabel="learning rate η", ylabel="group size G", yticks=range(6))
    ax.set_yticklabels([str(int(g)) for g in groups])
    ax.set_title("At equal rollouts: too slow at the top left, lost by noise at the bottom right")
figure

# %% [markdown]
# ## And the KL term?
#
# A penalty β · KL(π ‖ π_ref) pulls back to the base model. Groups of 8 at a rate of 0.5, with the same 19 200 rollouts,
# beside the point where expected training comes to rest:

# %%
betas = jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.02, 1, 13)])


def ending(key, beta):
    run = qra.training.train(
        key,
        problem,
        algorithm=qra.grpo(8),
        learning_rate=0.5,
        regularizers=[qra.reverse_kl(beta)],
        steps=BUDGET // 8,
        record_every=BUDGET // 8,
    )
    return run.accuracy[-1]


def rest(beta):
    options = dict(algorithm=qra.grpo(8), regularizers=[qra.reverse_kl(beta)])
    return qra.flow.solve(problem, ts=[0.0, 3000.0], **options).accuracy[-1]


which = jnp.repeat(jnp.arange(len(betas)), 64)
ends = qra.many(ending)(jax.random.split(jax.random.key(1), which.size), betas[which])
ends, rests = np.asarray(ends).reshape(-1, 64), np.asarray(jax.jit(jax.vmap(rest))(betas))
enough = float(betas[np.flatnonzero(rests > rests[0] - 0.01)[-1]])
with plot.style():
    figure, ax = plot.new((6.2, 3.2))
    low, high = np.quantile(ends, [0.1, 0.9], axis=1)
    ax.fill_between(betas, low, high, color=plot.BEST, alpha=0.2, linewidth=0)
    ax.plot(betas, ends.mean(axis=1), color=plot.BEST, label="sampled, mean and 10 to 90 %")
    ax.plot(betas, rests, "--", color=plot.ACCURACY, label="without sampling noise")
    ax.set_xscale("symlog", linthresh=0.02)
    ax.set(xlabel="β", ylabel="accuracy ρ at the end", xlim=(0, 1), ylim=(0.4, 1))
    ax.set_xticks([0, 0.02, 0.05, 0.1, 0.2, 0.5, 1], ["0", ".02", ".05", ".1", ".2", ".5", "1"])
    ax.set_title(f"A KL term costs less than .01 of accuracy up to β = {enough:.2g}, then more and more")
    ax.legend(loc="lower left")
figure

# %% [markdown]
# ## Ask for advice
#
# `qra advise` does such runs around *your* settings, says in how many of them what goes wrong, and what limits them
# first. The best single change is the one that ends with most accuracy at as many rollouts: larger groups get fewer
# steps. Changes within .01 of each other (of what there is to win) count as equal, and of equals the one with the fewest
# rollouts is named (demonstrations for SFT are not counted). From Python:

# %%
settings = consult.Hyperparameters(algorithm="grpo", learning_rate=0.5, group_size=8, steps=300)
said = consult.advise(jax.random.key(0), problem, settings, runs=512)
print(
    f"as it is: accuracy {said.now.accuracy:.3f} ± {said.now.error:.3f}, found in {said.now.found:.0%} of runs"
)
for one in said.changes[:8]:
    cost = "(an imperfection taken away)" if one.limit else f"× {one.cost:g} the rollouts"
    print(f"{one.name:36} {one.accuracy:.3f}  {cost}")
for failure in said.failures:
    print(f"{failure.name} in {failure.share:.1%} of the runs; sign: {failure.sign}")
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
        xlabel="step",
        ylabel="accuracy ρ",
        ylim=(0, 1),
        title="Runs differ most while the best pattern takes over",
    )
    ax.legend(loc="lower right")
figure

# %% [markdown]
# ## What to try next
#
# - A verifier that errs (`tpr`, `fpr`), stale rollouts (`staleness`), clipping (`clip_low`, `clip_high`).
# - `qra advise --ref .05 .70 .25 --success .9 .6 .1 --eta .5 --group-size 8 --steps 300 --plot advice.png`
# - `06_sweep_a_million` for larger maps that survive being killed.
