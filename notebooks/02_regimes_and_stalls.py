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
# # Will RLVR stall on my base model?
#
# Training is *fast* where the base model is already better than every pattern but the best one, and *entangled*
# elsewhere: then it may take longer than anyone will wait. This notebook draws the border and how bad it gets beyond.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import plot

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## One question, two starts
#
# The same three patterns with the same success rates. Only the base model's habits differ.

# %%
for name, ref in [("fast", [0.25, 0.70, 0.05]), ("entangled", [0.05, 0.70, 0.25])]:
    problem = qra.Problem.from_probs(ref=ref, success=[0.9, 0.6, 0.1])
    lead = qra.orbit.dominance(problem)
    hit = qra.orbit.hit(problem, target=0.99)
    leaders = [int(r) for r in lead.leaders[: int(lead.count)]]
    print(f"{name:10} {qra.theory.regime(problem)}  leaders {leaders}, T = {jnp.exp(hit.log_time):.0f}")

# %% [markdown]
# ## Why: the envelope
#
# Give each pattern a line that starts at 1/π_ref and falls with slope p. The lowest line leads. A rare pattern starts
# high up: with π_ref = 1/20 at 20, with π_ref = 1/1000 at 1000, and it has to fall below all others first.

# %%
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])
offset, slope = qra.orbit.lines(problem)
tau = np.linspace(0, 90, 200)
with plot.style():
    figure, ax = plot.new()
    for r, (name, color) in enumerate(
        zip(["best", "rival", "poor"], plot.pattern_colors(3, 0, 1), strict=True)
    ):
        ax.plot(tau, offset[r] - slope[r] * tau, color=color, label=name)
    switch = float(jnp.exp(qra.orbit.dominance(problem).switches[1]))
    ax.axvline(switch, color=plot.MUTED, linewidth=1, zorder=0)
    ax.set(
        xlabel="orbit time τ",
        ylabel="1/π_ref − p τ",
        title=f"The best line is lowest from τ = {switch:.0f} on",
    )
    ax.legend()
figure

# %% [markdown]
# ## A stall map
#
# 80 × 80 questions at once: how rare the best pattern is, against how good its rival is.

# %%
shares, rates = np.geomspace(1e-4, 0.5, 80), np.linspace(0.2, 0.88, 80)


def question(share, rate):
    ref = jnp.stack([share, 0.7 * (1 - share), 0.3 * (1 - share)])
    return qra.Problem(jnp.log(ref), jnp.stack([0.9, rate, 0.1]))


grid = jnp.meshgrid(shares, rates, indexing="ij")
questions = jax.vmap(question)(*(jnp.ravel(x) for x in grid))
log_time = qra.orbit.hit_batch(questions, target=0.99).log_time.reshape(80, 80)
with plot.style():
    figure, ax = plot.new((6.0, 4.2))
    image = ax.pcolormesh(
        shares, rates, log_time.T / np.log(10), vmin=1, vmax=8, cmap="viridis", rasterized=True
    )
    border = jax.vmap(lambda p: qra.theory.regime(p).entangled)(questions).reshape(80, 80)
    ax.contour(shares, rates, border.T.astype(float), [0.5], colors="white", linewidths=1.5)
    figure.colorbar(image, label="log10 of time to π(best) = .99")
    ax.set(xscale="log", xlabel="share of the best pattern (p = .9) in the base model")
    ax.set(ylabel="success rate of its rival", title="Left of the white line training is entangled")
figure

# %% [markdown]
# A good rival is worse than a bad one, and rarity costs a power of ten for each power of ten. Time is learning rate ×
# steps: at a rate of 0.1 logits a step, 10⁴ are 100 000 steps.
#
# ## Does the algorithm matter?

# %%
start = qra.Problem.from_probs(ref=[0.001, 0.70, 0.299], success=[0.9, 0.6, 0.1])
settings = [
    ("REINFORCE", qra.reinforce(), "softmax"),
    ("GRPO, G = 8", qra.grpo(8), "softmax"),
    ("GRPO, G = 64", qra.grpo(64), "softmax"),
    ("natural gradient", qra.reinforce(), "natural"),
]
for name, algorithm, metric in settings:
    hit = qra.orbit.hit(start, target=0.99, algorithm=algorithm, metric=metric)
    print(f"{name:18} {jnp.exp(hit.log_time):9.0f}")

# %% [markdown]
# Algorithms differ by a factor; another metric changes the path itself.
#
# ## What to try next
#
# - Your own base model: measure how often each approach is taken and how often it is right, then
#   `qra solve --ref ... --success ...`.
# - `04_sft_then_rl_by_gradient`: how much SFT removes the stall.
# - `qra reproduce regimes transition-time stall-atlas` checks the claims of the literature.
