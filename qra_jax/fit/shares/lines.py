r"""One-parameter paths of policies that are straight lines, fitted to counts: many data sets at once, in NumPy.

Along the orbit of the softmax policy gradient the weights $w_r ∝ 1/π_r$, scaled to $\prod_r w_r = 1$, move as
$w_r = a_r + b_r s + S(s)$ with one S common to all patterns: up to such a common number they run on a straight line,
with direction b = −R, whatever the clock. That is the first integral of [`theory.first_integral`][qra_jax.theory] for
all triples of patterns at once. Along the orbit of the natural gradient $-\log π_r$ does the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SOFTMAX, NATURAL = "softmax", "natural"
TINY, _STEPS = 1e-300, 100
_PARTS, _FIRST, _FAR = 6, 4, 1e10


@dataclass(frozen=True)
class Lines:
    """A straight line for each of some data sets, and where on it each point is.

    Attributes:
      a: `[sets, patterns]`, a point of it, up to a common number.
      b: `[sets, patterns]`, its direction, up to a common number.
      s: `[sets, points]`, positions.
      geometry: whose orbit it is.
      known: whether b was given, not fitted.
    """

    a: np.ndarray
    b: np.ndarray
    s: np.ndarray
    geometry: str
    known: bool = False

    @property
    def policy(self) -> np.ndarray:
        """`[sets, points, patterns]`, π."""
        return policy(self.a[:, None] + self.b[:, None] * self.s[:, :, None], self.geometry)[0]


def policy(v: np.ndarray, geometry: str) -> tuple[np.ndarray, np.ndarray]:
    """Policies at coordinates that are known up to a common number, and their scale Z = Σ 1/w.

    Args:
      v: `[..., patterns]`, w − S, or −log π.
      geometry: which of them.

    Returns:
      `[..., patterns]` π, and `[..., 1]` Z; 1 for the natural gradient.
    """
    gaps = v - v.min(axis=-1, keepdims=True)
    if geometry == NATURAL:
        weight = np.exp(-gaps)
        return weight / weight.sum(axis=-1, keepdims=True), np.ones_like(weight[..., :1])
    y = np.zeros_like(
        gaps[..., :1]
    )  # log of the smallest w: Newton from the right, where the sum of logs is convex
    for _ in range(_STEPS):
        x = np.exp(y)
        w = x + gaps
        step = np.log(w).sum(axis=-1, keepdims=True) / (x / w).sum(axis=-1, keepdims=True)
        y = y - step
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    inverse = 1 / (np.exp(y) + gaps)
    total = inverse.sum(axis=-1, keepdims=True)
    return inverse / total, total


def coordinates(shares: np.ndarray, geometry: str) -> np.ndarray:
    """w of policies, or −log π: `[..., patterns]`; of a share of zero infinite."""
    with np.errstate(divide="ignore"):
        log = -np.log(shares)
    log = log - log.mean(axis=-1, keepdims=True)
    return np.exp(log) if geometry == SOFTMAX else log


def slopes(line: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Policies, and the slopes of their logarithms in the coordinates v, exact also next to a corner.

    Returns:
      `[sets, points, patterns]` π and `[sets, points, patterns, patterns]` ∂ log π / ∂v.
    """
    pi, scale = policy(line.a[:, None] + line.b[:, None] * line.s[:, :, None], line.geometry)
    pi = np.maximum(pi, TINY)
    one = np.eye(pi.shape[-1])
    centred = -(1 - one) * pi[..., None, :] + one * (pi @ (1 - one))[..., None, :]  # I − 1π', without 1 − π
    if line.geometry == NATURAL:
        return pi, -centred
    return pi, -(centred * (scale * pi)[..., None, :]) @ centred  # d log w = Z π dw, and dw = dv − π·dv


def information(
    line: Lines, shares: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihood, its slope in the coordinates v of each point, and a root K of their Fisher information K'K.

    Args:
      line: of each data set.
      shares: `[sets, points, patterns]`.
      samples: `[sets, points]`, N behind each point.

    Returns:
      `[sets]`, `[sets, points, patterns]`, `[sets, points, patterns, patterns]`.
    """
    pi, slope = slopes(line)
    n = samples[..., None]
    value = np.sum(n * shares * (np.log(pi) - np.log(np.maximum(shares, TINY))), axis=(1, 2))
    pulled = ((n * (shares - pi))[..., None, :] @ slope)[..., 0, :]
    return value, pulled, np.sqrt(n * pi)[..., None] * slope


def across(line: Lines) -> np.ndarray:
    """`[sets, patterns, patterns − 2]`, orthonormal directions off the line."""
    both = np.stack([np.ones_like(line.b), line.b], axis=-1)
    return np.linalg.qr(both, mode="complete")[0][..., 2:]


def off_line(line: Lines, slope: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and information across the line, where the position is known as well as the point tells.

    Returns:
      `[sets, points, patterns − 2]` and `[sets, points, patterns − 2, patterns − 2]`.
    """
    side = across(line)[:, None]
    ahead, known = along(line, root)
    wide = root @ side
    moved = (slope @ line.b[..., None])[..., 0] / known
    rest = slope - (ahead[..., None, :] @ root)[..., 0, :] * moved[..., None]
    wide = wide - ahead[..., None] * ((ahead[..., None, :] @ wide) / known[..., None, None])
    return (rest[..., None, :] @ side)[..., 0, :], np.swapaxes(wide, 2, 3) @ wide


def along(line: Lines, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K b `[sets, points, patterns]`, and the information on positions `[sets, points]`."""
    ahead = (root @ line.b[:, None, :, None])[..., 0]
    return ahead, np.maximum(np.sum(ahead**2, axis=-1), TINY)


def fit(
    line: Lines, shares: np.ndarray, samples: np.ndarray, *, gain: float = 1e-14
) -> tuple[Lines, np.ndarray]:
    """The likeliest line, from a first one, by Fisher scoring with positions eliminated.

    Args:
      line: first ones; where `known`, only their place is fitted, not their direction.
      shares: `[sets, points, patterns]`.
      samples: `[sets, points]`.
      gain: of log likelihood below which a step is the last one.

    Returns:
      Lines, and `[sets]` twice the log likelihood ratio against points that are free, zero or above.
    """
    whole, value = (
        Lines(line.a.copy(), line.b.copy(), line.s.copy(), line.geometry, line.known),
        np.zeros(len(shares)),
    )
    live = np.arange(len(shares))
    damping, (here, slope, root) = np.full(len(shares), 1e-3), information(line, shares, samples)
    value[:] = here
    for _ in range(_STEPS):
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far is taken back
            new = _stepped(line, slope, root, damping)
            found, other, wider = information(new, shares, samples)
        reach = np.abs(new.a).max(axis=1) + np.abs(new.b).max(axis=1) * np.abs(new.s).max(axis=1)
        better = (found >= here) & (reach <= _FAR)
        done = (better & (found - here <= np.maximum(gain, -1e-9 * here))) | (damping >= 1e8)
        keep = lambda x, y: np.where(better.reshape(-1, *[1] * (x.ndim - 1)), x, y)  # noqa: B023, E731
        line = replace(line, a=keep(new.a, line.a), b=keep(new.b, line.b), s=keep(new.s, line.s))
        here, slope, root = keep(found, here), keep(other, slope), keep(wider, root)
        damping = np.clip(np.where(better, damping * 0.2, damping * 8), 1e-14, 1e8)
        for into, each in ((whole.a, line.a), (whole.b, line.b), (whole.s, line.s), (value, here)):
            into[live] = each
        if done.all():
            break
        line = replace(line, a=line.a[~done], b=line.b[~done], s=line.s[~done])
        shares, samples, slope, root = shares[~done], samples[~done], slope[~done], root[~done]
        live, here, damping = live[~done], here[~done], damping[~done]
    return whole, -2 * value


def _stepped(line: Lines, slope: np.ndarray, root: np.ndarray, damping: np.ndarray) -> Lines:
    """One damped step of Fisher scoring."""
    sets, points, count = slope.shape
    side = across(line)
    g, G = off_line(line, slope, root)
    ramp = np.ones((1, sets, points)) if line.known else np.stack([np.ones_like(line.s), line.s])
    size = len(ramp) * (count - 2)
    left = np.einsum("pbt,qbt,btkl->bpkql", ramp, ramp, G, optimize=True).reshape(sets, size, size)
    right = np.einsum("pbt,btk->bpk", ramp, g).reshape(sets, size)
    diagonal = sizes(left) * (1 + damping[:, None])
    left[:, np.arange(size), np.arange(size)] = diagonal
    unit = 1 / np.sqrt(diagonal)
    scaled = left * unit[:, :, None] * unit[:, None, :]
    move = unit * (np.linalg.pinv(scaled, rcond=1e-14, hermitian=True) @ (unit * right)[..., None])[..., 0]
    move = np.einsum("bik,bpk->pbi", side, move.reshape(sets, len(ramp), count - 2))
    bent = np.einsum("pbt,pbi->bti", ramp, move)
    ahead, known = along(line, root)
    shift = (slope @ line.b[..., None])[..., 0] - np.sum(ahead * (root @ bent[..., None])[..., 0], axis=-1)
    shift = shift / (known * (1 + damping[:, None]))
    reach = 0.5 * np.abs(line.s) + 0.25 * np.ptp(line.s, axis=1)[:, None]
    b = line.b if line.known else line.b + move[1]
    return replace(line, a=line.a + move[0], b=b, s=line.s + np.clip(shift, -reach, reach))


def sizes(matrix: np.ndarray) -> np.ndarray:
    """Diagonals `[sets, n]`, those that are rounding alone raised to what rounding may be."""
    diagonal = np.einsum("bii->bi", matrix)
    most = diagonal.max(axis=1, keepdims=True)
    return np.maximum(diagonal, np.where(most > 0, 1e-24 * most + 1e-290, 1.0))


def start(shares: np.ndarray, samples: np.ndarray, geometry: str, direction: np.ndarray | None) -> Lines:
    """First lines of one data set: through means over parts of the time, with the likeliest places of a grid.

    Args:
      shares: `[points, patterns]`.
      samples: `[points]`.
      geometry: whose orbit.
      direction: `[patterns]`, b where it is known.

    Returns:
      The `_FIRST` likeliest, as lines of as many data sets.
    """
    points, count = shares.shape
    parts = np.array_split(np.arange(points), min(_PARTS, points))
    behind = np.array([samples[part].sum() for part in parts])[:, None]
    means = np.stack([np.average(shares[part], axis=0, weights=samples[part]) for part in parts])
    v = coordinates((means * behind + 0.5) / (behind + 0.5 * count), geometry)
    begin, end = np.triu_indices(len(parts), 1)
    if direction is None:
        a, b = v[begin], v[end] - v[begin]
        flat = np.ptp(b - b.mean(axis=1, keepdims=True), axis=1) < 1e-9
        b = np.where(flat[:, None], np.linspace(-1, 1, count), b)
    else:
        a, b = v, np.broadcast_to(direction / np.ptp(direction) * max(1.0, float(np.ptp(v))), v.shape)
    grid = 0.05 * np.sinh(np.linspace(-9, 9, 361))
    log = np.log(np.maximum(policy(a[:, None] + b[:, None] * grid[:, None], geometry)[0], TINY))
    value = (samples[:, None] * shares) @ np.swapaxes(log, 1, 2)  # [lines, points, grid]
    best = np.argsort(-value.max(axis=2).sum(axis=1))[:_FIRST]
    place = grid[value[best].argmax(axis=2)]
    return Lines(a[best], b[best], place, geometry, direction is not None)
