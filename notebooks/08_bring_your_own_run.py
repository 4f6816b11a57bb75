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
# # Your run: is it normal, how does it go on, and what should you change?
#
# From a file to an answer in three commands, whether TRL, verl or Weights & Biases wrote it:
#
#     qra fit FILE               # what the curve shows, and how it goes on
#     qra advise --from FILE     # is it normal, and what to change
#     qra fit --watch FILE       # the same while it grows
#
# Put the path of your own file into `PATH`; otherwise the notebook makes one run and writes it as each of the three would.

# %%
# %matplotlib inline
import json
import os
import tempfile
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

import qra_jax as qra
from qra_jax import cli, fit, plot
from qra_jax.consult import examination, outlook, rates
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.fit.report import answer, draw

jax.config.update("jax_enable_x64", True)
PATH = os.environ.get("QRA_RUN", "")

# %% [markdown]
# ## One run in the words of three trainers
#
# Sampled GRPO on an entangled question: the best pattern is rare, another one beats base accuracy and is reinforced
# first. Its reward, its silent groups (all right or all wrong) and its entropy are logged at every tenth step.

# %%
problem = qra.Problem.from_probs(ref=[0.2, 0.6, 0.2], success=[0.9, 0.5, 0.1])
run = qra.training.train(
    jax.random.key(0), problem, algorithm=qra.grpo(8), learning_rate=0.05, steps=600, record_every=10
)
random, rho = np.random.default_rng(0), np.asarray(run.accuracy)
groups = random.binomial(8, rho[:, None], (len(rho), 32))  # 32 groups of 8 rollouts
logged = [
    {
        "step": int(step),
        "reward": float(right.mean() / 8),
        "silent": float(np.isin(right, (0, 8)).mean()),
        "entropy": float(entropy),
    }
    for step, right, entropy in zip(
        run.stats["step"], groups, np.asarray(qra.metrics.entropy(run.log_policy)), strict=True
    )
]
folder = Path(tempfile.mkdtemp())
trl = [
    {
        "step": row["step"],
        "rewards/accuracy_reward/mean": row["reward"],
        "reward": row["reward"],
        "frac_reward_zero_std": row["silent"],
        "entropy": row["entropy"],
    }
    for row in logged
]
(folder / "trainer_state.json").write_text(json.dumps({"global_step": 600, "log_history": trl}))
verl = [
    {"step": row["step"], "data": {"critic/score/mean": row["reward"], "actor/entropy": row["entropy"]}}
    for row in logged
]
(folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, verl)))
chart = ["Step,run-1 - train/reward,run-1 - train/reward__MIN,run-1 - train/reward__MAX"]
chart += [f"{row['step']},{row['reward']},{row['reward']},{row['reward']}" for row in logged]
(folder / "wandb_chart.csv").write_text("\n".join(chart))
for file in ("trainer_state.json", "metrics.jsonl", "wandb_chart.csv"):
    curve = fit.read(folder / file)
    print(f"{file}: {len(curve.steps)} points, ends at {curve.accuracy[-1]:.3f}; {curve.notes[0]}")
PATH = PATH or str(folder / "trainer_state.json")

# %% [markdown]
# All three are the same curve. What was recognised, which column was taken and how many samples stand behind a point is
# said in the notes; `--column`, `--step`, `--run`, `--range` and `--samples` overrule it.
#
# ## How does it go on?
#
# `qra fit FILE --train-until 250` fits the beginning and forecasts the rest, beside baselines that know no theory.

# %%
curve = fit.read(PATH)
until = float(np.quantile(curve.steps, 0.4))
found = answer(curve, until, draws=256)
draw(found)

# %% [markdown]
# ## Is it normal, and what should I change?
#
# `qra advise --from FILE` reads the log as a physician would: expected gain and its noise first, then silent groups over
# the distribution of questions, then the cause that explains the log with the sign that tells it from the others, then
# what would help at as many rollouts.

# %%
_ = cli.main(["advise", "--from", PATH, "--group-size", "8", "--batch-prompts", "32"])

# %% [markdown]
# ## From four numbers
#
# Without a log, pass@k of the base model gives the distribution of success rates over questions; a start, an end and a
# number of steps give the rate. The gain then stands beside the noise of *your* batch: a flat log is no stall while the
# gain is within it.

# %%
questions = qra.Population.from_pass_at({1: 0.31, 2: 0.48, 4: 0.64, 8: 0.77, 16: 0.85})
settings = Hyperparameters(group_size=8, steps=100)
eta = rates.went(outlook.pace_of(questions, settings), 0.57, 100)
with plot.style():
    figure, (left, right) = plot.new((9.0, 3.4), ncols=2)
    for batch, color in ((8, plot.RIVAL), (64, plot.BEST)):
        expected = outlook.outlook(questions, settings, batch, eta)
        gain, noise = expected.gain, questions.error(batch, 8)
        left.fill_between(
            gain.steps, gain.accuracy[1] - noise, gain.accuracy[1] + noise, color=color, alpha=0.2, lw=0
        )
        left.plot(
            gain.steps,
            gain.accuracy[1],
            color=color,
            label=f"{batch} prompts: shows from step {gain.visible}",
        )
    left.set(xlabel="step", ylabel="accuracy", title="When a gain can be seen depends on the batch")
    left.legend(loc="upper left")
    sizes = [2, 4, 8, 16, 32, 64]
    right.plot(
        sizes, [questions.silent(size) for size in sizes], "o-", color=plot.BEST, label="these questions"
    )
    alike = qra.Population.of([questions.mean])
    right.plot(
        sizes, [alike.silent(size) for size in sizes], "o--", color=plot.MUTED, label="all alike, same mean"
    )
    right.set(xscale="log", xlabel="group size G", ylabel="share of silent groups", ylim=(0, 1))
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.set_xticks([], minor=True)
    right.set_title("The mean success rate hides silent groups")
    right.legend(loc="upper right")
figure

# %% [markdown]
# ## What each cause looks like
#
# The same examination in Python; its causes are tried on simulated runs whose cause is known by `qra doctor-bench`.

# %%
said = examination.examine(PATH, group_size=8)
plain = Console(color_system=None, force_terminal=True, force_jupyter=False, highlight=False, width=110)
plain.print(f"{said.cause}: {said.findings[0].said if said.findings else 'no sign of any known cause'}.")
plain.print("Looked for: " + ", ".join(examination.CAUSES))

# %% [markdown]
# ## What to try next
#
# - Your own log: set `PATH` above, or `qra advise --from LOG --config grpo.yaml`.
# - While it trains: `qra fit --watch LOG`, or in TRL `qra_jax.callbacks.TRL().add_to(trainer)`, which writes the forecast
#   into the trainer's log.
# - A table with the shares of several patterns by step (`step,direct,chain,guess`) is fitted by the orbit itself:
#   `qra fit shares.csv` says whether they run on one.
# - A file of per-question histories (`prompt_id,visit1,visit2,...`) gives the *clock exponent* of the run: the a in
#   dz/dt ∝ (4ρ(1 − ρ))^a, where ρ is a question's accuracy and z = log(ρ/(1 − ρ)) its logit. For
#   questions of two patterns, right and wrong, a = 1 is REINFORCE on a table of logits, ½ GRPO with large groups, 0 the
#   natural gradient, where the logits of all questions shift together. With several patterns one clock shows any
#   exponent from a − 1 to a, so that neither algorithm nor optimiser can be read from it.
# - On measured runs of language models the forecast is no better than a fitted sigmoid's (`qra reproduce real-forecast
#   --data DIR` reports it for a folder of runs); what the theory adds is a reading of the curve, and intervals.
