r"""How large a step remains stable when gradients are old: linear theory near an optimum of curvature K.

The load of a direction is ηK, learning rate times curvature. Without delay gradient descent is stable up to a load
of 2; an old gradient lowers that limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from qra_jax import _check

_ROUNDING = 1e-9
"""How far beyond the unit circle a root counts as outside: neutral directions lie on it."""


def delayed_radius(load: float, *, age: int, momentum: float = 0.0) -> float:
    r"""Growth per step of heavy-ball descent whose gradient is S steps old.

    The linear step $\theta_{k+1} - \theta_k = m(\theta_k - \theta_{k-1}) - \eta K\,\theta_{k-S}$ has the modes z with

    $$ z^{S+1} - (1+m)\,z^S + m\,z^{S-1} + \eta K = 0. $$

    Args:
      load: ηK ≥ 0.
      age: S ≥ 0, in steps.
      momentum: m in [0, 1).

    Returns:
      Largest modulus of a root; training is unstable above 1.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*; without momentum the classical delayed difference equation (Levin and May,
      *Theoretical Population Biology* 9:178, 1976).

    >>> print(round(delayed_radius(1.0, age=1), 6))
    1.0
    """
    load, age, momentum = _load(load), _check.integer("age", age, low=0), _momentum(momentum)
    ahead = max(age - 1, 0)
    polynomial = np.zeros(ahead + 3)
    polynomial[:3] = 1, -(1 + momentum), momentum
    polynomial[ahead + 2 - (0 if age else 1)] += load
    return float(np.abs(np.roots(polynomial)).max())


def held_radius(load: float, *, age: int, momentum: float = 0.0) -> float:
    r"""Growth per period of heavy-ball descent that takes S steps with the same gradient.

    One period maps $(K\theta, v)$ to itself by S steps of $v \leftarrow mv + K\theta_{\rm held}$,
    $\theta \leftarrow \theta - \eta v$; without momentum the map is $1 - \eta K S$.

    Args:
      load: ηK ≥ 0.
      age: S ≥ 1, steps until the gradient is computed anew.
      momentum: m in [0, 1).

    Returns:
      Largest modulus of an eigenvalue; training is unstable above 1.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*.

    >>> print(round(held_radius(0.75, age=2), 6))
    0.5
    """
    load, age, momentum = _load(load), _check.integer("age", age, low=1), _momentum(momentum)
    state = np.eye(2)  # rows: K θ, velocity, as functions of both at the start of the period
    held = state[0]
    for _ in range(age):
        velocity = momentum * state[1] + held
        state = np.stack([state[0] - load * velocity, velocity])
    return float(np.abs(np.roots(np.poly(state))).max())


def two_time_radius(learning_rate: float, *, age: int, now: Any, old: Any) -> float:
    r"""Growth per step where the mean gradient depends on the policy of now and on that of S steps ago.

    $$ \theta_{k+1} = \theta_k + \eta\,(A\,\theta_k + B\,\theta_{k-S}), \qquad
       A = \partial F/\partial\theta_{\rm now},\quad B = \partial F/\partial\theta_{\rm old} $$

    on the logits without the neutral direction in which all of them rise together.

    Args:
      learning_rate: η ≥ 0.
      age: S ≥ 0, in steps.
      now: `[patterns, patterns]`, A.
      old: `[patterns, patterns]`, B.

    Returns:
      Largest modulus of an eigenvalue; training is unstable above 1.

    Raises:
      ValueError: an argument out of range, or A and B are no square matrices of one size, two patterns or more.

    Reference: *derived here*.

    >>> print(round(two_time_radius(1.0, age=1, now=np.zeros((2, 2)), old=-np.eye(2)), 6))
    1.0
    """
    _check.nonnegative("learning_rate", learning_rate, ndim=0)
    age = _check.integer("age", age, low=0)
    now, old = np.asarray(now, float), np.asarray(old, float)
    n = len(now) if now.ndim else 0
    if n < 2 or now.shape != (n, n) or old.shape != (n, n):
        raise ValueError(
            f"now, old: shapes {now.shape}, {old.shape}; must be [patterns, patterns] with 2 or more"
        )
    basis = np.linalg.svd(np.eye(n) - 1 / n)[0][:, : n - 1]
    now, old = basis.T @ now @ basis, basis.T @ old @ basis
    size = n - 1
    companion = np.eye(size * (age + 1), k=-size)
    companion[:size, :size] += np.eye(size) + learning_rate * now
    companion[:size, -size:] += learning_rate * old
    return float(np.abs(np.linalg.eigvals(companion)).max())


def stability_limit(
    radius: Callable[[float], float], *, between: tuple[float, float] = (0.005, 8.0), points: int = 400
) -> float:
    """Least load at which a mode grows, from the radius as a function of the load.

    Args:
      radius: growth per step at a load (or learning rate), such as
        `functools.partial(delayed_radius, age=2, momentum=0.9)`.
      between: least and largest load that are looked at, 0 < least < largest.
      points: loads, evenly spaced in the logarithm, among which the first unstable one is sought; a region of
        instability narrower than their spacing can be missed.

    Returns:
      The load where the radius first exceeds 1; the least load if it does so there; `inf` if it never does.

    Raises:
      ValueError: `between` is not increasing and positive, or fewer than 2 points.

    >>> from functools import partial
    >>> print(round(stability_limit(partial(delayed_radius, age=0)), 6))
    2.0
    """
    least, largest = between
    if not 0 < least < largest < math.inf:
        raise ValueError(f"between: {between}; must be two increasing positive numbers")
    grid = np.geomspace(least, largest, _check.integer("points", points, low=2))

    def excess(load: float) -> float:
        return radius(load) - 1 - _ROUNDING

    beyond = np.array([excess(load) > 0 for load in grid])
    if not beyond.any():
        return math.inf
    first = int(np.argmax(beyond))
    if first == 0:
        return float(grid[0])
    return float(brentq(excess, grid[first - 1], grid[first], xtol=1e-13))  # pyright: ignore[reportArgumentType]


def delay_limit(age: int) -> float:
    r"""Largest stable load of plain descent with a gradient S steps old.

    $$ \eta K = 2\sin\frac{\pi}{2(2S+1)}, \qquad \eta K S \to \frac\pi2\ \text{as}\ S \to \infty $$

    Args:
      age: S ≥ 0, in steps.

    Returns:
      ηK in (0, 2].

    Raises:
      ValueError: S < 0.

    Reference: Levin and May, *Theoretical Population Biology* 9:178, 1976, for the delayed difference equation.

    >>> [round(delay_limit(age), 3) for age in (0, 1, 2)]
    [2.0, 1.0, 0.618]
    """
    return 2 * math.sin(math.pi / (2 * (2 * _check.integer("age", age, low=0) + 1)))


def impulse_response(load: float, *, age: int, steps: int) -> np.ndarray:
    r"""What one kick of the gradient becomes, step after step.

    $$ \psi_0 = 1, \qquad \psi_j = \psi_{j-1} - \eta K\,\psi_{j-1-S} $$

    Sampling noise of variance s² per step builds up to a variance of $\eta^2 s^2 \sum_j \psi_j^2$.

    Args:
      load: ηK ≥ 0.
      age: S ≥ 0, in steps.
      steps: number of steps, 1 or more.

    Returns:
      `[steps]`, ψ.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*.

    >>> print(impulse_response(0.5, age=1, steps=4))
    [1.  1.  0.5 0. ]
    """
    load, age = _load(load), _check.integer("age", age, low=0)
    steps = _check.integer("steps", steps, low=1)
    psi = np.zeros(steps + age)
    psi[age] = 1.0
    for j in range(age + 1, steps + age):
        psi[j] = psi[j - 1] - load * psi[j - 1 - age]
    return psi[age:]


def _load(load: Any) -> float:
    return float(_check.nonnegative("load", load, ndim=0))


def _momentum(momentum: Any) -> float:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: {momentum}; must be in [0, 1)")
    return float(momentum)
