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
# # Does a real network follow the theory?
#
# The theory treats patterns as entries of a table. A network shares its parameters among questions, patterns and
# tokens. Here a small decoder is pre-trained on sequences whose pattern statistics we set, then trained by GRPO on its
# own samples, and read exactly by teacher forcing.

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import qra_jax as qra
from qra_jax import plot, transformer as tf

# %% [markdown]
# ## A language with three reasoning patterns
#
# `question, pattern, steps, answer, end`. With `coin=True` a coin that is no part of the network decides whether an
# answer is right, so success rates cannot move and only the choice is learnt: what the theory assumes.

# %%
problem = qra.Problem.from_probs(ref=[0.25, 0.70, 0.05], success=[0.9, 0.6, 0.1])
questions = qra.problem.stack([problem] * 4)
task = tf.controlled(questions, coin=True)
model = tf.Decoder(task.vocabulary, width=32)
base = tf.learn(jax.random.split(jax.random.key(0), 4), model, task.demonstrations, steps=300, questions=4)
shown = task.demonstrations()
read = lambda params: tf.read_out(model, params, shown).policy.mean(0)  # noqa: E731
for seed, policy in enumerate(np.asarray(jax.vmap(read)(base.params))):
    print(f"base model {seed}: π =", " ".join(f"{share:.2f}" for share in policy))

# %% [markdown]
# ## Train four seeds, and compare with the orbit


# %%
def train(key, params):
    options = dict(
        algorithm=qra.grpo(8), steps=240, questions=4, learning_rate=3e-4, record_every=8, probe=read
    )
    return tf.train(key, model, params, task, **options).seen


paths = tf.side_by_side(train)(jax.random.split(jax.random.key(1), 4), base.params)
orbit = qra.orbit.solve(problem, log_ts=np.linspace(-2, 7, 300))
with plot.style():
    ax = plot.simplex_axes(["best", "rival", "poor"])
    for path in paths:
        plot.simplex(path, ax=ax, color=plot.RIVAL, linewidth=1)
    plot.simplex(orbit.policy, ax=ax, color=plot.ACCURACY, linewidth=2, linestyle=":")
    ax.set_title("Four networks (red) beside\nthe theory's orbit (dots)")
ax.figure

# %% [markdown]
# How far apart are the paths? For each point of a network's path the nearest point of the orbit, in total variation:

# %%
apart = 0.5 * jnp.min(jnp.sum(jnp.abs(paths[:, :, None] - orbit.policy[None, None]), -1), axis=2)
print("largest distance of each seed:", " ".join(f"{one:.3f}" for one in np.asarray(apart.max(axis=1))))

# %% [markdown]
# ## And when answers can be learnt?
#
# Without the coin the network writes the answer itself, and learns to be right *within* a pattern. Then success rates
# move, and the theory's assumption fails.

# %%
open_task = tf.controlled(questions)
open_model = tf.Decoder(open_task.vocabulary, width=32)
start = tf.learn(
    jax.random.split(jax.random.key(2), 2), open_model, open_task.demonstrations, steps=300, questions=4
)
written = open_task.demonstrations()


def rates(key, params):
    look = lambda params: tf.read_out(open_model, params, written).success.mean(0)  # noqa: E731
    options = dict(
        algorithm=qra.grpo(8), steps=240, questions=4, learning_rate=1e-3, record_every=8, probe=look
    )
    return tf.train(key, open_model, params, open_task, **options).seen


success = tf.side_by_side(rates)(jax.random.split(jax.random.key(3), 2), start.params)
with plot.style():
    figure, ax = plot.new((5.6, 3.2))
    step = np.arange(success.shape[1]) * 8
    for r, (name, color) in enumerate(
        zip(["best", "rival", "poor"], plot.pattern_colors(3, 0, 1), strict=True)
    ):
        for seed, (line, marker) in enumerate([("-", "o"), ("--", "^")]):
            look = dict(linestyle=line, marker=marker, markersize=3.5, markevery=(3 + seed, 6), linewidth=1.4)
            ax.plot(step, success[seed, :, r], color=color, label=f"{name}, seed {seed}", **look)
    before, after = success[:, 0, 1].mean(), success[:, len(step) // 2 :, 1].mean(axis=1)
    ax.set(xlabel="RL step", ylabel="success rate within the pattern", ylim=(-0.02, 1.02))
    moved = " and ".join(f"{one:.2f} for seed {seed}" for seed, one in enumerate(after))
    ax.set_title(f"The rival's success rate does not stay at {before:.2f}:\n{moved}, mean of the second half")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## What to try next
#
# - `qra reproduce transformer-selection` does this with eight seeds, two starts, a clock test and intervals;
#   `transformer-rlif`, `transformer-sft-first`, `critical-tokens` and `arithmetic` ask other questions.
# - `tf.arithmetic` has genuine procedures; `tf.evolve` trains by evolution strategies.
