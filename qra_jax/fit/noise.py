r"""What lies between a model's accuracy and the logged one: samples, fresh questions, and wandering.

$$ y_i \approx N\big(f_i,\; f_i(1-f_i)\,[1/m_i + r]\big),\quad
   \operatorname{logit} f_i = \operatorname{logit} f(t_i) + w(t_i),\quad dw = ω\,dW $$

m rollouts are binomial; r is what fresh questions add at every step (rollouts of one question agree), given as the
excess $x = r\,\bar m$ over the binomial variance; ω is how far the run wanders off its expected curve in a training
window, in logits, as sampled gradients make it and as anything that the model leaves out does. x ~ e^{1.5 N} and
ω ~ .2 e^N beforehand. The wandering is integrated out by an extended Kalman filter, an approximation: noise is
normal (with half a count added, so that none of it vanishes at 0 and 1) and accuracy linear in w between points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax.fit.curve import Curve, noise_samples

BINS = 24
"""Neighbouring points are summed to at most this many; the models are smooth on that scale."""


Leaf = Any
"""An array; untyped, as pytree leaves may also be placeholders."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Binned:
    """A curve as the likelihood sees it.

    Attributes:
      time: `[bins]`, in training windows.
      accuracy: `[bins]`, mean weighted by samples.
      inverse: `[bins]`, 1/M, M = samples in the bin.
      lumped: `[bins]`, Σm²/M² · 1/m̄: what the excess x is multiplied by.
      used: `[bins]`, 1, or 0 for padding.
    """

    time: Leaf
    accuracy: Leaf
    inverse: Leaf
    lumped: Leaf
    used: Leaf


def binned(curve: Curve, train: Curve, bins: int = BINS) -> Binned:
    """Sum neighbouring points to at most `bins` bins and pad to that number.

    Args:
      curve: the whole run: its schedule of the learning rate sets time.
      train: the part to fit.
      bins: B ≥ 1.

    Returns:
      Arrays `[bins]`, NumPy float64.
    """
    samples = train.samples
    if samples is None:
        samples = np.full(len(train.steps), noise_samples(train.accuracy))
    time = curve.time(train.steps)
    window = time[-1] - time[0]
    if not window > 0:
        raise ValueError("until: the learning rate is zero up to there; must leave some training")
    time = (time - time[0]) / window
    typical = np.median(samples)
    rows = []
    for part in np.array_split(np.arange(len(time)), min(bins, len(time))):
        m = samples[part]
        total = m.sum()
        rows.append(
            (
                (time[part] @ m) / total,
                (train.accuracy[part] @ m) / total,
                1 / total,
                (m @ m) / total**2 / typical,
                1.0,
            )
        )
    columns = np.array(rows).T
    padding = np.array([1.0, 0.5, 1.0, 1.0, 0.0])[:, None] * np.ones(bins - columns.shape[1])
    return Binned(*np.concatenate([columns, padding], axis=1))


def filtered(
    level: Float[Array, " bins"], values: dict[str, Array], data: Binned
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Log likelihood of a curve given a model's accuracy, and where the run has wandered to.

    Args:
      level: `[bins]`, the model's accuracy f.
      values: parameters by name; `excess` and `wander` are used.
      data: the curve.

    Returns:
      Log likelihood in nats, mean and variance of w at the last point.
    """
    level = jnp.clip(level, 1e-9, 1 - 1e-9)
    logits = jnp.log(level) - jnp.log1p(-level)
    drift = values["wander"] ** 2 * jnp.diff(data.time, prepend=0.0)

    def step(state: tuple[Array, Array], point: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        mean, var = state
        logit, y, inverse, lumped, used, new = point
        var = var + new * used
        expected = jax.nn.sigmoid(logit + mean)
        slope = expected * (1 - expected)
        noise = slope * (inverse + values["excess"] * lumped) + 0.25 * inverse**2
        total = slope**2 * var + noise
        gap = y - expected
        gain = used * var * slope / total
        mean, var = mean + gain * gap, var * (1 - gain * slope)
        return (mean, var), used * -0.5 * (jnp.log(2 * jnp.pi * total) + gap**2 / total)

    points = (logits, data.accuracy, data.inverse, data.lumped, data.used, drift)
    (mean, var), terms = jax.lax.scan(step, (jnp.zeros(()), jnp.zeros(())), points)
    return jnp.sum(terms), mean, var


def logged(
    rng: np.random.Generator, level: np.ndarray, values: Mapping[str, Any], time: np.ndarray, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""A run that wanders off a model's accuracy, and what is logged of it: what the likelihood is of.

    Rollouts are beta-binomial, of variance $f(1-f)(1+x)/m$.

    Args:
      rng: random numbers.
      level: `[points]`, the model's accuracy f in (0, 1).
      values: parameters by name; `excess` x and `wander` ω are used, x up to m − 1.
      time: `[points]`, in training windows, increasing.
      samples: m ≥ 2, rollouts behind each point.

    Returns:
      The run's own accuracy and the logged rates, `[points]` each.
    """
    steps = np.sqrt(np.diff(time, prepend=0.0)) * rng.standard_normal(len(time))
    logit = np.log(level) - np.log1p(-level) + float(values["wander"]) * np.cumsum(steps)
    true = (1 / (1 + np.exp(-logit))).clip(1e-9, 1 - 1e-9)
    alike = min(max(float(values["excess"]) / (samples - 1), 1e-9), 0.999)
    fresh = rng.beta(true * (1 / alike - 1), (1 - true) * (1 / alike - 1))
    return true, rng.binomial(samples, fresh) / samples
