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
# # Quickstart: how does RL move a model's choice of reasoning pattern?
#
# A question can be approached in a few ways, *reasoning patterns*. The base model picks pattern r with probability
# π_ref(r), and each pattern leads to the right answer with its own success rate p(r). RL with a verifiable reward does
# not make a pattern better: it moves the choice. This notebook defines one such question and looks at its training
# three times: the exact orbit, the gradient flow with a KL term, and sampled GRPO.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import plot
from qra_jax.consult import FOUND

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## A question
#
# The best pattern is right nine times in ten, but the base model takes it one time in twenty. Its rival is right six
# times in ten and takes most of the mass. `regime` says what that means for training.

# %%
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])
print(qra.theory.regime(problem))
print(f"accuracy of the base model: {problem.accuracy_ref:.2f}")

# %% [markdown]
# *Entangled*: the base model is worse than its second-best pattern, so at first training feeds the rival as well.
# Time is learning rate × steps. From start to π(best) = 0.99 it takes

# %%
for algorithm in (qra.reinforce(), qra.grpo(group_size=8), qra.filtered_sft()):
    hit = qra.orbit.hit(problem, target=0.99, algorithm=algorithm)
    print(f"{algorithm.name:14} {jnp.exp(hit.log_time):8.1f}")

# %% [markdown]
# The ⁺ means that only right answers are trained on, each with weight 1, averaged over all rollouts: in expectation the
# same speed as REINFORCE. Averaged over the accepted rollouts only, `qra.filtered_sft(per="accepted")`, it is faster;
# that is the one that `qra solve` shows.
#
# ## The orbit: exact, at any time
#
# Every on-policy algorithm with a 0/1 reward follows the same path, only at its own speed. The path has a closed form,
# so there is no step size and no accumulated error.

# %%
log_ts = np.linspace(-1, 8, 400)
orbit = qra.orbit.solve(problem, log_ts=log_ts)
with plot.style():
    ax = plot.policies(np.exp(log_ts), orbit.policy, best=0, rival=1, labels=["best", "rival", "poor"])
    ax.plot(np.exp(log_ts), orbit.accuracy, "--", color=plot.ACCURACY, label="accuracy ρ")
    ax.set_title("The best pattern loses ground first, and wins in the end")
    ax.legend()
ax.figure

# %% [markdown]
# ## The flow: what a KL term does
#
# With a penalty β · KL(π ‖ π_ref) the path has no closed form; it is the solution of an ODE, here for REINFORCE, which
# follows the plain gradient (its speed factor, the *clock*, is 1). Larger β ends nearer the base model. Where REINFORCE
# ends is known in closed form, π ∝ π_ref exp(p/β): the dots. Other clocks end elsewhere, see `docs/concepts.md`.

# %%
ts = np.concatenate([[0.0], np.geomspace(0.1, 3000, 200)])
with plot.style():
    figure, ax = plot.new()
    for beta, shade in zip([0.0, 0.05, 0.1, 0.2], np.linspace(0.0, 0.75, 4), strict=True):
        flow = qra.flow.solve(problem, ts=ts, regularizers=[qra.reverse_kl(beta)])
        color = (shade, shade, shade)
        ax.plot(ts[1:], flow.accuracy[1:], color=color, label=f"β = {beta:g}")
        if beta:
            best = qra.theory.optimal_policy(problem, beta)
            ax.plot(ts[-1], jnp.exp(best) @ problem.success, "o", color=color)
    ax.set(
        xscale="log",
        xlabel="time t",
        ylabel="accuracy ρ",
        title="A KL term costs accuracy once β is large: here above .05",
    )
    ax.legend()
figure

# %% [markdown]
# ## Sampled training: what noise does
#
# Real training draws groups of rollouts. A thousand runs at once: `train` is one run, `jax.vmap` makes it many (and
# `qra.many` in blocks on all cores). A run has *found* the best pattern when that holds a share of `FOUND` = 0.9 or
# more.


# %%
def train(key):
    return qra.training.train(
        key, problem, algorithm=qra.grpo(8), learning_rate=0.5, steps=400, record_every=4
    )


runs = qra.many(train)(jax.random.split(jax.random.key(0), 1000))
missing = runs.policy[:, -1, 0] < FOUND
with plot.style():
    ax = plot.simplex_axes(["best", "rival", "poor"])
    for run in runs.policy[:60]:
        plot.simplex(run, ax=ax, color=plot.MUTED, linewidth=0.5, alpha=0.5)
    plot.simplex(orbit.policy, ax=ax, color=plot.ACCURACY, linewidth=2)
    ax.set_title(
        f"{missing.mean():.1%} of {len(missing)} sampled runs have not\nfound the best pattern; black: the orbit"
    )
ax.figure

# %% [markdown]
# The same runs in motion: they go along the orbit as a cloud, and noise decides when each one crosses over.

# %%
every = slice(None, None, 2)
qra.film.cloud(
    runs.time[0, every],
    runs.policy[:300, every],
    orbit=orbit.policy,
    labels=["best", "rival", "poor"],
)

# %% [markdown]
# ## What to try next
#
# - Change `ref` and `success` above; watch the regime. `02_regimes_and_stalls` maps where training stalls.
# - `qra solve --ref .05 .70 .25 --success .9 .6 .1` says all this on the command line, `qra explore` with sliders.
