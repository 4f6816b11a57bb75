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
# Two words first. A start is *entangled* where some pattern other than the best one is right more often than the base
# model as a whole (ρ_ref < p_second): training then feeds that rival, too, and the best pattern may lose share at
# first. Otherwise it is *fast*. A *stall* is a time so long that nobody waits, here 10⁶ and more. An entangled start
# need not stall: nothing jumps at the border between fast and entangled. It gets worse the rarer the best pattern is,
# as the map below shows.

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
    path = qra.orbit.solve(problem, log_ts=jnp.linspace(-5, 8, 200)).policy[:, 0]
    print(f"{name}: {qra.theory.regime(problem)}")
    print(f"  leaders in turn {leaders}, T = {jnp.exp(hit.log_time):.0f} to π(best) = 0.99,")
    print(f"  π(best) starts at {ref[0]:.2f} and is never below {path.min():.3f}")

# %% [markdown]
# Pattern 1, the rival, leads at first in both: it has 0.70 of the mass. In the fast start the best pattern gains all
# the way; in the entangled one it falls first. The times are not far apart: this entangled start is no stall.
#
# ## Why: the envelope
#
# Give each pattern a line that starts at 1/π_ref and falls with slope p, over a time τ of its own, *orbit time*. The
# lowest line leads: the leaders in turn are the lower *envelope* of the lines. A rare pattern starts high up, with
# π_ref = 1/20 at 20, with π_ref = 1/1000 at 1000, and it has to fall below all others first. Below, the entangled
# question:

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
    switch = float(jnp.exp(qra.orbit.dominance(problem).log_switches[1]))
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
log_time = qra.many(qra.orbit.log_hitting_time)(questions).reshape(80, 80)
power = np.asarray(log_time) / np.log(10)
with plot.style():
    figure, ax = plot.new((6.0, 4.2))
    image = ax.pcolormesh(shares, rates, power.T, vmin=1, vmax=8, cmap="viridis", rasterized=True)
    lead = jax.vmap(lambda p: p.accuracy_ref - p.second_best)(questions).reshape(80, 80)
    ax.contour(shares, rates, lead.T, [0.0], colors="white", linewidths=1.5)
    ax.contour(shares, rates, power.T, [6.0], colors="black", linewidths=1.5, linestyles="--")
    figure.colorbar(image, label="log10 of time to π(best) = .99", extend="max")
    ax.set(xscale="log", xlabel="share of the best pattern (p = .9) in the base model")
    ax.set(ylabel="success rate of its rival")
    ax.set_title("Entangled left of the white line, a stall only left of the dashed one")
figure

# %% [markdown]
# A good rival is worse than a bad one. And how much does rarity cost? The slope of log time against log share, at the
# rare end of each row of the map:

# %%
rare = shares < 1e-3
slopes = np.array([np.polyfit(np.log10(shares[rare]), power[rare, i], 1)[0] for i in range(len(rates))])
print(f"10 × rarer: 10^{-slopes.max():.2f} to 10^{-slopes.min():.2f} × the time")
assert (slopes > -2.2).all()
assert (slopes < -1.8).all()

# %% [markdown]
# Ten times rarer costs a *hundred* times the time: with n patterns the time grows like γ to the power n − 1, here
# n = 3, where γ = Σ_{r≠rival} π_ref(r)/π_ref(best) is in proportion to 1/π_ref(best) where that is small. Time is
# learning rate × steps: at a rate of 0.1, a time of 10⁴ is 100 000 steps.
#
# ## Does the algorithm matter?
#
# The same question with a best pattern of 1 in 1000, time to π(best) = 0.99. The *natural gradient* moves every logit
# as fast as its advantage says, however rare the pattern; the others are gradients on softmax logits, which move a rare
# pattern slowly.

# %%
start = qra.Problem.from_probs(ref=[0.001, 0.70, 0.299], success=[0.9, 0.6, 0.1])
settings = [
    ("REINFORCE", qra.reinforce(), "softmax"),
    ("GRPO, G = 8", qra.grpo(8), "softmax"),
    ("GRPO, G = 64", qra.grpo(64), "softmax"),
    ("natural gradient", qra.reinforce(), "natural"),
]
for name, algorithm, geometry in settings:
    hit = qra.orbit.hit(start, target=0.99, algorithm=algorithm, geometry=geometry)
    print(f"{name:18} {jnp.exp(hit.log_time):9.0f}")

# %% [markdown]
# On softmax logits algorithms differ by a factor; the natural gradient takes another path, without the wait.
#
# ## What to try next
#
# - Your own base model: measure how often each approach is taken and how often it is right, then
#   `qra solve --ref ... --success ...`.
# - `04_sft_then_rl_by_gradient`: how much SFT removes the stall.
# - `qra reproduce regimes transition-time stall-atlas` checks the claims of the literature.
