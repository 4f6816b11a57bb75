"""Simulation-based calibration of `qra_jax.fit`: are its intervals right for runs that its own prior draws?

    python benchmarks/calibration.py --runs 1000 --ledger calibration.jsonl     # an hour or two on two cores

A model and its parameters are drawn from their prior, a run from the noise model with binomial rollouts; its first half
is fitted, by all models for the forecast and by its own with the usual number of draws for the parameters. If fit and
forecast are right, the true accuracy at the end of the whole is as likely at any rank among the members of the
forecast, and each true parameter at any rank among the draws of its model: intervals hold 50, 80 and 95 of 100. Over
the runs of one dynamics or number of patterns they need not: the fit does not know which made a run. A finished run is
a line of the ledger; an ended script goes on where it was.

Reference: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference algorithms with
simulation-based calibration, arXiv:1804.06788.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _common import environment, save, show

jax.config.update("jax_enable_x64", True)

from qra_jax import fit  # noqa: E402
from qra_jax.fit import dynamics, noise  # noqa: E402

POINTS, PART, SAMPLES = 119, 59, (32, 128, 512)
"""Points of a run, how many are fitted, and rollouts behind a point, one number a run."""
LEVELS, TOGETHER, SEED, USUAL = (0.5, 0.8, 0.95), 14, 16, 512
"""TOGETHER runs of one model stand side by side; USUAL draws are those of `fit.fit`."""


def model_of(batch):
    """Models in turn, as often as their prior says."""
    place = np.random.default_rng(SEED).random() + batch * (np.sqrt(5) - 1) / 2
    return fit.MODELS[np.searchsorted(np.cumsum(dynamics.prior(fit.MODELS)), place % 1)]


def drawn(index, model, paths):
    """A run: its parameters, its true accuracy at the end, and what is logged of its first half."""
    rng = np.random.default_rng([SEED, index])
    u, samples = rng.standard_normal(len(dynamics.PARAMETERS)), int(rng.choice(SAMPLES))
    steps = np.arange(float(POINTS))
    level, values = paths(u, np.array([dynamics.DYNAMICS.index(model.dynamics), model.patterns]))
    true, rates = noise.logged(rng, np.asarray(level), values, steps / (PART - 1), samples)
    return u, true[-1], fit.Curve(steps[:PART], rates[:PART], np.full(PART, float(samples)))


def rank(rng, values, truth):
    """Rank of the truth among values, uniform in (0, 1) where both are of one distribution."""
    return float((np.sum(values < truth) + rng.random()) / (len(values) + 1))


def lines(ledger, runs, draws):
    """The ledger's lines of these settings, after all runs are done."""
    known = []
    if ledger.is_file():
        known = [json.loads(line) for line in ledger.read_text().splitlines()]
    known = [line for line in known if line["draws"] == draws and line["run"] < runs]
    done = {line["run"] // TOGETHER for line in known}
    table, times = dynamics.clocks(8), jnp.arange(float(POINTS)) / (PART - 1)
    paths = jax.jit(lambda u, kind: (dynamics.accuracy(u, kind, times, table), dynamics.physical(u, kind[1])))
    for batch in range(-(-runs // TOGETHER)):
        if batch in done:
            continue
        start, model, rng = time.perf_counter(), model_of(batch), np.random.default_rng([SEED, batch, 1])
        part = range(batch * TOGETHER, (batch + 1) * TOGETHER)
        made = [drawn(index, model, paths) for index in part]
        curves = [curve for *_, curve in made]
        mixed = fit.fit_many(curves, draws=draws, seed=batch)
        alone = fit.fit_many(curves, models=[model], draws=USUAL, seed=batch)
        seconds = (time.perf_counter() - start) / TOGETHER
        new = []
        for index, (u, end, curve), all_, own in zip(part, made, mixed, alone, strict=True):
            ranks = {"end": rank(rng, all_.forecast([POINTS - 1.0]).members[:, 0], end)}
            ranks |= {
                name: rank(rng, own.u[0, :, i], u[i])
                for i, name in enumerate(dynamics.PARAMETERS)
                if model.free[i]
            }
            line = {"run": index, "draws": draws, "dynamics": model.dynamics, "patterns": model.patterns}
            line |= {"samples": int(curve.samples[0]), "seconds": seconds, "ranks": ranks}
            new.append(line | {"arrived": bool(all_.arrived.all() and own.arrived.all())})
        with ledger.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in new)
        known += new
        print(f"{len(known)} of {runs} runs, {seconds:.1f} s each", flush=True)
    return known


def row(name, below):
    """Coverage of central intervals, from ranks."""
    below = np.array(below)
    inside = {level: float(np.mean(np.abs(below - 0.5) <= level / 2)) for level in LEVELS}
    error = {level: float(np.sqrt(level * (1 - level) / len(below))) for level in LEVELS}
    cells = {f"{level:.0%}": f"{inside[level]:.1%} ± {error[level]:.1%}" for level in LEVELS}
    worst = max(abs(inside[level] - level) for level in LEVELS)
    return {"what": name, "runs": len(below), **cells, "largest gap": worst, "mean rank": float(below.mean())}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=128)
    parser.add_argument("--ledger", type=Path, default=Path("calibration.jsonl"))
    asked = parser.parse_args()
    around = environment("qra-jax")
    found = lines(asked.ledger, asked.runs, asked.draws)
    rows = [
        row(what, [line["ranks"][name] for line in found if name in line["ranks"]])
        for what, name in (("accuracy at the end", "end"), *((name, name) for name in dynamics.PARAMETERS))
    ]
    for key in ("dynamics", "patterns", "samples"):
        for value in sorted({line[key] for line in found}):
            ends = [line["ranks"]["end"] for line in found if line[key] == value]
            rows.append(row(f"end, {key} {value}", ends))
    show(f"Coverage of intervals, {len(found)} runs, {asked.draws} draws a model", rows)
    lost = sum(not line["arrived"] for line in found)
    seconds = float(np.median([line["seconds"] for line in found]))
    payload = {"environment": around, "runs": len(found), "draws": asked.draws, "not_arrived": lost}
    print(save("calibration", payload | {"seconds_a_run": seconds, "rows": rows}).name)


if __name__ == "__main__":
    main()
