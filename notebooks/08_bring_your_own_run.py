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
# # Which dynamics made this run, and what comes next?
#
# `qra fit` reads a logged run, a CSV with columns `step,accuracy` (and `n`, rollouts behind each point, if known),
# weighs models of it, says what the curve identifies and what it does not, and forecasts the rest beside simple
# baselines. Put the path of your own file into `PATH`; otherwise the notebook makes one.

# %%
# %matplotlib inline
import csv
import os
import tempfile
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

import qra_jax as qra
from qra_jax import fit
from qra_jax.fit.report import answer, draw, show

jax.config.update("jax_enable_x64", True)
PATH = os.environ.get("QRA_RUN", "")

# %% [markdown]
# ## A run to read
#
# Sampled GRPO on an entangled question, measured every 20 steps with 256 rollouts.

# %%
if not PATH:
    problem = qra.Problem.from_probs(ref=[0.2, 0.6, 0.2], success=[0.9, 0.5, 0.1])
    run = qra.training.train(
        jax.random.key(0), problem, algorithm=qra.grpo(8), learning_rate=0.05, steps=600, record_every=20
    )
    measured = np.random.default_rng(0).binomial(256, np.asarray(run.accuracy)) / 256
    PATH = str(Path(tempfile.mkdtemp()) / "run.csv")
    with open(PATH, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "accuracy", "n"])
        writer.writerows(
            (int(step), float(value), 256) for step, value in zip(run.stats["step"], measured, strict=True)
        )
curve = fit.read(PATH)
print(curve.name, len(curve.steps), "points, steps", curve.steps[0], "to", curve.steps[-1])

# %% [markdown]
# ## Fit the first half, forecast the rest

# %%
until = float(np.median(curve.steps))
found = answer(curve, until, draws=256)
plain = Console(color_system=None, force_terminal=True, force_jupyter=False, highlight=False, width=110)
show(found, plain)

# %%
draw(found)

# %% [markdown]
# Read the table before the picture: a short or noisy curve usually does *not* tell which dynamics made it, and the
# program says so. On measured runs of language models the forecast is no better than a fitted sigmoid's (`qra reproduce
# real-forecast --data DIR` reports it for a folder of runs); what the theory adds is a reading of the curve, and
# intervals.
#
# ## What to try next
#
# - Your own log: `qra fit run.csv --train-until 60 --plot fit.png`, or set `PATH` above.
# - A file of per-question histories (`prompt_id,visit1,visit2,...`) gives the *clock exponent* of the run: the a in
#   dz/dt ∝ (4ρ(1 − ρ))^a, where ρ is a question's accuracy and z = log(ρ/(1 − ρ)) its logit. For
#   questions of two patterns, right and wrong, a = 1 is REINFORCE on a table of logits, ½ GRPO with large groups, 0 the
#   natural gradient, where the logits of all questions shift together. With several patterns one clock shows any
#   exponent from a − 1 to a, so that neither algorithm nor optimiser can be read from it; the output gives the exponents
#   of simulated tabular GRPO for comparison.
