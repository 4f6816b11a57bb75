"""Sixteen rollouts of which eight are trained on: how they are chosen, what that does to a step, and sampled runs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy import stats

from qra_jax import theory
from qra_jax.algorithm import grpo, paired_grpo

DRAWN, KEPT = 16, 8
RULES = ("pairs", "GRPO, 8", "GRPO, 16", "GRPO, 8, clock of pairs")
RATES, SHARES = (0.8, 0.4, 0.0), (1, 2)
"""Success rates of three patterns; base shares of the first two, the third has the rest."""
TARGET, LAST = 0.72, 512
"""Accuracy that ends a race; its length in steps, which a run that does not arrive counts with."""
STOP, NORMS = 0.05, {"1/|o|": "length", "constant": "constant"}
GRID = np.linspace(0.002, 0.998, 250)


def base(rho: Any) -> Any:
    """Base policy with accuracy ρ: shares x, 2x and 1 − 3x."""
    x = rho / (RATES[0] * SHARES[0] + RATES[1] * SHARES[1])
    return jnp.stack([x, 2 * x, 1 - 3 * x])


def counts(right: Any, drawn: int = DRAWN, pairs: int = KEPT // 2) -> tuple[Any, Any]:
    """Right and wrong rollouts among those kept, where `right` of those drawn are."""
    mixed = np.minimum(np.minimum(right, drawn - right), pairs)
    rest = 2 * (pairs - mixed)
    return mixed + rest * (2 * right > drawn), mixed + rest * (2 * right < drawn)


def advantages(right: Any, drawn: int) -> tuple[np.ndarray, np.ndarray]:
    """GRPO's advantages of a right and a wrong rollout, with the sample standard deviation; 0 in a silent group."""
    share = np.clip(np.asarray(right, float) / drawn, 0.5 / drawn, 1 - 0.5 / drawn)
    loud = (np.asarray(right) > 0) & (np.asarray(right) < drawn)
    scale = np.sqrt((drawn - 1) / drawn) * loud
    return scale * np.sqrt((1 - share) / share), -scale * np.sqrt(share / (1 - share))


def signal_to_noise(rule: str, rho: float) -> float:
    """Squared mean over variance of one group's push on the accuracy, exactly.

    Given the numbers of right and wrong rollouts trained on, their patterns are multinomial.
    """
    drawn = KEPT if rule == "GRPO, 8" else DRAWN
    right = np.arange(drawn + 1)
    chance = stats.binom.pmf(right, drawn, rho)
    plus, minus = right, drawn - right
    if rule == "pairs":
        plus, minus = counts(right)
    if rule == "random half":
        kept = np.arange(KEPT + 1)
        chance = chance[:, None] * stats.hypergeom.pmf(kept[None], drawn, right[:, None], KEPT)
        right, plus = (x.ravel() for x in np.broadcast_arrays(right[:, None], kept[None]))
        chance, minus = chance.ravel(), KEPT - plus
    up, down = advantages(right, drawn)
    trained = drawn if rule.startswith("GRPO") else KEPT
    policy, success = np.asarray(base(rho)), np.array(RATES)
    slope = policy * (success - rho)
    push = slope - policy @ slope
    ends = policy * success / rho, policy * (1 - success) / (1 - rho)
    average = [end @ push for end in ends]
    scatter = [end @ push**2 - mean**2 for end, mean in zip(ends, average, strict=True)]
    given = (plus * up * average[0] + minus * down * average[1]) / trained
    within = (plus * up**2 * scatter[0] + minus * down**2 * scatter[1]) / trained**2
    mean = chance @ given
    return float(mean**2 / (chance @ within + chance @ given**2 - mean**2))


def mean_gradient(random: np.random.Generator, rho: float, groups: int, likely: bool) -> np.ndarray:
    """Mean gradient of so many groups of pairs, `[patterns]`; of equal rollouts the likeliest, or any, are kept."""
    policy, success = np.asarray(base(rho)), np.array(RATES)
    pattern = random.choice(3, size=(groups, DRAWN), p=policy)
    reward = random.random(pattern.shape) < success[pattern]
    tie = policy[pattern] if likely else 0.0
    order = np.argsort(-(reward + 1e-3 * tie + 1e-6 * random.random(pattern.shape)), axis=1)
    pattern, reward = np.take_along_axis(pattern, order, 1), np.take_along_axis(reward, order, 1)
    up, down = advantages(reward.sum(axis=1), DRAWN)
    weight = np.where(reward, up[:, None], down[:, None])
    contrast = np.abs(weight) + np.abs(weight[:, ::-1])
    first = np.argsort(-contrast[:, : DRAWN // 2], axis=1, kind="stable")[:, : KEPT // 2]
    both = np.concatenate([first, DRAWN - 1 - first], axis=1)
    pattern, weight = np.take_along_axis(pattern, both, 1), np.take_along_axis(weight, both, 1)
    total = np.array([(weight * (pattern == r)).sum() for r in range(3)]) / (KEPT * groups)
    return total - policy * total.sum()


def race(cell: Any, key: Any) -> dict[str, Any]:
    """Steps of a sampled run until the target is reached; inf if it is not."""
    success = jnp.asarray(RATES, jnp.float32)
    clocks = jax.jit(lambda rho: paired_grpo(DRAWN, KEPT // 2).clock(rho) / grpo(KEPT, ddof=1).clock(rho))
    gain, grid = jnp.asarray(clocks(GRID), jnp.float32), jnp.asarray(GRID, jnp.float32)
    number = jnp.arange(DRAWN)

    def standard(reward: Any, where: Any) -> Any:
        centred = jnp.where(where, reward - jnp.mean(reward, where=where), 0.0)
        std = jnp.sqrt(jnp.sum(centred**2) / (jnp.sum(where) - 1))
        return jnp.where(std > 0, centred / jnp.where(std > 0, std, 1.0), 0.0)

    def step(state: Any, index: Any) -> Any:
        logits, first = state
        policy = jax.nn.softmax(logits)
        ladder = jnp.cumsum(jnp.concatenate([policy * success, policy * (1 - success)]))
        drawn = jax.random.uniform(jax.random.fold_in(key, index), (DRAWN,), jnp.float32) * ladder[-1]
        cell_of = jnp.sum(drawn[:, None] > ladder[None, :-1], axis=1)
        pattern, right = cell_of % 3, cell_of < 3
        reward = right.astype(jnp.float32)
        k = jnp.sum(right)
        mixed = jnp.minimum(jnp.minimum(k, DRAWN - k), KEPT // 2)
        rest = 2 * (KEPT // 2 - mixed)
        plus, minus = mixed + rest * (2 * k > DRAWN), mixed + rest * (2 * k < DRAWN)
        # Rollouts are exchangeable: the first of the right ones are as good as any.
        kept = jnp.where(right, jnp.cumsum(right) <= plus, jnp.cumsum(~right) <= minus)
        of_all, of_half = standard(reward, number >= 0), standard(reward, number < KEPT)
        half = of_half / KEPT
        faster = half * jnp.interp(policy @ success, grid, gain)
        weights = jnp.stack([of_all * kept / KEPT, half, of_all / DRAWN, faster])[cell.rule.astype(int)]
        total = jnp.sum(weights[:, None] * (pattern[:, None] == jnp.arange(3)[None]), axis=0)
        logits = logits + cell.rate.astype(jnp.float32) * (total - policy * jnp.sum(total))
        there = jax.nn.softmax(logits) @ success >= TARGET
        return (logits, jnp.where(there, jnp.minimum(first, index + 1.0), first)), None

    start = jnp.log(base(cell.rho)).astype(jnp.float32)
    (_, first), _ = jax.lax.scan(step, (start, jnp.float32(jnp.inf)), jnp.arange(LAST))
    return {"steps": first}


def mean_steps(steps: xr.DataArray) -> xr.DataArray:
    """Geometric mean of the number of steps, where a run that does not arrive counts with all of them."""
    log: Any = np.log(np.minimum(steps, LAST))
    return np.exp(log.mean("seed", skipna=False))


def tuned(steps: xr.DataArray) -> xr.DataArray:
    """Steps of each half of the runs at the rate that is best for the other half."""
    half = steps.sizes["seed"] // 2
    halves = [steps.isel(seed=slice(half)), steps.isel(seed=slice(half, 2 * half))]
    best: Any = [mean_steps(runs).fillna(LAST).argmin("rate") for runs in halves]
    found: Any = [halves[i].isel(rate=best[1 - i]).drop_vars("rate") for i in (0, 1)]
    return xr.concat(found, "seed")


def lengths(random: np.random.Generator, rule: str, accuracy: float, norm: str, seeds: int) -> np.ndarray:
    """Mean length over 200 steps in which the stop alone is trained, `[seed, step]`; rewards do not depend on it."""
    logit, found = np.full(seeds, np.log(STOP / (1 - STOP))), []
    unit = float(theory.stop_drift(STOP, "length"))
    rate = 0.04 / unit * (STOP if norm == "constant" else 1.0)
    drawn = KEPT if rule == "GRPO, 8" else DRAWN
    for _ in range(201):
        stop = 1 / (1 + np.exp(-logit))
        found.append(1 / stop)
        right = random.binomial(drawn, accuracy, (seeds, 32))
        up, down = advantages(right, drawn)
        plus = counts(right)[0] if rule == "pairs" else right
        if rule == "random half":
            plus = random.hypergeometric(right, drawn - right, KEPT)
        weight = np.where(np.arange(KEPT) < plus[..., None], up[..., None], down[..., None])
        length = random.geometric(np.broadcast_to(stop[:, None, None], weight.shape))
        score = (1 - stop[:, None, None] * length) / (length if NORMS[norm] == "length" else 1)
        logit = logit + rate * (weight * score).mean(axis=(1, 2))
    return np.stack(found, axis=1)
