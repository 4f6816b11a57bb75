"""Peers for the benchmark of sampled training: GRPO by plain gradient ascent in NumPy, in Numba and in naive JAX.

Every run has its own problem and its own random numbers. Its logits start at log π_ref, and each step draws a
group of G rollouts, pattern r_i ~ π = softmax(θ) and reward R_i ~ Bernoulli(p[r_i]), and moves

    θ += η/G · Σ_i A_i (e_{r_i} − π),     A_i = (R_i − mean) / population std, all 0 if the rewards are equal.

All peers share one signature, `peer(ref, success, learning_rate, steps, group, seed)` with `ref` (positive) and
`success` of shape [runs, patterns] in float32, and return the policies after the last step, [runs, patterns].
`check()` holds them against each other.

The NumPy and Numba peers use what a careful programmer would see on paper. ΣA_i = 0, so the term in π drops
out. Only counts matter: with k right rollouts in the group, a_r of them among the c_r that took pattern r,

    g_r = (G a_r − k c_r) / (G √(k (G − k))).

One uniform per rollout decides pattern and reward together: the interval of pattern r is [C_{r−1}, C_r), its
first π_r p_r counts as right, and a count is the difference of two numbers of uniforms below an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def numpy_loop(ref, success, learning_rate, steps, group, seed):
    """Policies after training, by NumPy: all runs at once, a Python loop over the steps."""
    # Tried, 4096 runs of 10 patterns in groups of 16 (AMD EPYC with AVX-512), in millions of run-steps a second:
    # this one 8.6 to 9.2; with NumPy's own buffer of 8192 elements, where rows of 4096 seem to be copied, 7.3 to 7.7;
    # raw 64-bit words cut into uint32 and compared with integer edges, within 5 % of it either way; halves in two
    # threads 7 and quarters 4 (own buffer): operations of a few microseconds hand the interpreter lock to and fro.
    # The 19 comparisons with their int8 sums are most of a step of 450 µs; Generator.multinomial takes 3500 in
    # their place, and sorting each group's uniforms 135 before anything is counted.
    with np.errstate():  # which also puts the buffer back
        np.setbufsize(4096)
        return _numpy_loop(ref, success, learning_rate, steps, group, seed)


def _numpy_loop(ref, success, learning_rate, steps, group, seed):
    f4 = np.float32
    runs, patterns = ref.shape
    rng = np.random.Generator(np.random.PCG64(seed))
    logits = np.log(np.ascontiguousarray(ref.T, f4))
    success = np.ascontiguousarray(success.T, f4)
    policy, change = np.empty_like(logits), np.empty_like(logits)
    edges = np.empty((patterns, 2, runs), f4)
    below = np.full((patterns, 2, runs), group, np.int16 if group > 127 else np.int8)
    counts = np.empty_like(below)  # [:, 0] right rollouts of the pattern, [:, 1] wrong ones, then all
    flat_edges, flat_below, flat_counts = (x.reshape(2 * patterns, runs) for x in (edges, below, counts))
    uniform, hit = np.empty((group, runs), f4), np.empty((group, runs), bool)
    scratch = np.empty(runs, f4)
    rate = f4(learning_rate / group)
    for _ in range(steps):
        _softmax(logits, policy, scratch)
        np.multiply(policy, success, out=edges[:, 0])
        edges[0, 1] = policy[0]
        for r in range(1, patterns):
            edges[r, 0] += edges[r - 1, 1]
            np.add(edges[r - 1, 1], policy[r], out=edges[r, 1])
        rng.random(dtype=f4, out=uniform)
        for edge, count in zip(flat_edges[:-1], flat_below[:-1], strict=True):
            np.less(uniform, edge, out=hit)
            np.add.reduce(hit.view(np.int8), axis=0, dtype=below.dtype, out=count)
        flat_counts[0] = flat_below[0]
        np.subtract(flat_below[1:], flat_below[:-1], out=flat_counts[1:])
        counts[:, 1] += counts[:, 0]
        right = counts[:, 0].sum(axis=0).astype(f4)
        scale = rate / np.sqrt(np.maximum(right * (group - right), f4(1)))
        logits += np.multiply(counts[:, 0], scale * f4(group), out=change)
        logits -= np.multiply(counts[:, 1], scale * right, out=change)
    _softmax(logits, policy, scratch)
    return policy.T


def _softmax(logits, out, scratch):
    np.subtract(logits, np.max(logits, axis=0, out=scratch), out=out)
    np.exp(out, out=out)
    out /= np.sum(out, axis=0, out=scratch)


LANES = 64  # runs side by side in a Numba block: a multiple of the widest vector, small enough for the first cache


def numba_kernel(ref, success, learning_rate, steps, group, seed):
    """Policies after training, by Numba on all cores; the first call with a number of patterns and a group compiles.

    Raises:
      ImportError: Numba is not installed (`pip install numba`).
    """
    # Tried, same machine, two cores, in CPU ns a run-step: 64 lanes 13.1 to 14.4 (142 million run-steps a second),
    # 32 lanes 13.6; while others used the machine too: 128 or 256 lanes 14.6, no maximum in the softmax 14.6, counts
    # as integers 18 (10 % slower than floats in an early version on a quiet machine, where uniforms
    # compared as floats were 5 % slower). The loop is 512-bit vector code; 304 of its instructions compare.
    run = _numba_run(ref.shape[1], group)
    policy = np.empty(ref.shape, np.float32)
    run(ref, success, np.float32(learning_rate / group), steps, np.uint64(seed), policy)
    return policy


@cache
def _numba_run(patterns: int, group: int) -> Callable[..., None]:
    try:
        import numba
    except ImportError as error:
        raise ImportError("the peer numba_kernel needs Numba: pip install numba") from error
    prange = numba.prange
    f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64

    @numba.njit(fastmath=True)
    def exp2(x):
        """2^x for x ≤ 0, relative error 2e-7; below 2^-126 it stays there."""
        x = max(x, f4(-126))
        whole = np.rint(x)
        f = x - whole
        y = f4(1.8775767e-3)
        y = y * f + f4(8.9893397e-3)
        y = y * f + f4(5.5826318e-2)
        y = y * f + f4(2.4015361e-1)
        y = y * f + f4(6.9315308e-1)
        y = y * f + f4(9.9999994e-1)
        return y * np.int32((i4(whole) + i4(127)) << i4(23)).view(np.float32)

    names: dict[str, Any] = {"np": np, "f4": f4, "i4": i4, "u4": u4, "exp2": exp2}
    exec(_numba_source(patterns, group), names)
    block = numba.njit(fastmath=True, error_model="numpy")(names["block"])

    @numba.njit
    def splitmix(x):
        x = (x ^ (x >> u8(30))) * u8(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> u8(27))) * u8(0x94D049BB133111EB)
        return x ^ (x >> u8(31))

    @numba.njit(parallel=True, error_model="numpy")
    def run(ref, success, rate, steps, seed, policy):
        runs = ref.shape[0]
        to_log2 = f4(1 / np.log(2.0))
        for b in prange((runs + LANES - 1) // LANES):
            logits = np.empty(patterns * LANES, f4)
            rates = np.empty(patterns * LANES, f4)
            bits = np.empty(4 * LANES, u4)
            for i in range(LANES):
                lane = b * LANES + i
                row = min(lane, runs - 1)  # idle lanes at the end repeat the last problem
                for r in range(patterns):
                    logits[r * LANES + i] = np.log2(ref[row, r])
                    rates[r * LANES + i] = success[row, r]
                for half in range(2):
                    counter = splitmix(seed) + u8(2 * lane + half + 1) * u8(0x9E3779B97F4A7C15)
                    word = splitmix(counter)
                    bits[2 * half * LANES + i] = u4(word & u8(0xFFFFFFFF))
                    bits[(2 * half + 1) * LANES + i] = u4(word >> u8(32))
            block(logits, rates, bits, steps, rate * to_log2)
            for i in range(min(LANES, runs - b * LANES)):
                top = logits[i]
                for r in range(1, patterns):
                    top = max(top, logits[r * LANES + i])
                total = f4(0)
                for r in range(patterns):
                    total += exp2(logits[r * LANES + i] - top)
                for r in range(patterns):
                    policy[b * LANES + i, r] = exp2(logits[r * LANES + i] - top) / total

    return run


def _numba_source(patterns: int, group: int) -> str:
    """Text of the loop over steps for one block of runs, patterns and rollouts written out.

    One pass of the inner loop is one step of one run without branches or inner loops, so that LLVM turns it into
    vector instructions, generator (xoshiro128+, its upper 24 bits) included. Logits are in units of log 2.
    """
    body = [f"x{r} = logits[{r * LANES} + i]" for r in range(patterns)]
    body += ["top = x0", *(f"top = max(top, x{r})" for r in range(1, patterns))]
    body += [f"e{r} = exp2(x{r} - top)" for r in range(patterns)]
    body += ["scale = f4(16777216) / (" + " + ".join(f"e{r}" for r in range(patterns)) + ")"]
    body += [f"s{j} = bits[{j * LANES} + i]" for j in range(4)]
    for g in range(group):
        body += [f"draw{g} = i4(u4(s0 + s3) >> u4(8))", "t = u4(s1 << u4(9))"]
        body += ["s2 = u4(s2 ^ s0)", "s3 = u4(s3 ^ s1)", "s1 = u4(s1 ^ s2)", "s0 = u4(s0 ^ s3)"]
        body += ["s2 = u4(s2 ^ t)", "s3 = u4(u4(s3 << u4(11)) | u4(s3 >> u4(21)))"]
    body += [f"bits[{j * LANES} + i] = s{j}" for j in range(4)]
    body += ["edge = f4(0)", "below = f4(0)"]
    for r in range(patterns):
        body += [f"w = e{r} * scale", f"t = i4(edge + w * rates[{r * LANES} + i])", "n = f4(0)"]
        body += [f"n += f4(1) if draw{g} < t else f4(0)" for g in range(group)]
        body += [f"right{r} = n - below"]
        if r < patterns - 1:
            body += ["edge += w", "t = i4(edge)", "n = f4(0)"]
            body += [f"n += f4(1) if draw{g} < t else f4(0)" for g in range(group)]
        else:
            body += [f"n = f4({group})"]
        body += [f"all{r} = n - below", "below = n"]
    body += ["k = " + " + ".join(f"right{r}" for r in range(patterns))]
    body += [f"speed = rate / np.sqrt(max(k * (f4({group}) - k), f4(1)))"]
    for r in range(patterns):
        body += [f"logits[{r * LANES} + i] = x{r} + speed * (f4({group}) * right{r} - k * all{r})"]
    head = [
        "def block(logits, rates, bits, steps, rate):",
        " for _ in range(steps):",
        f"  for i in range({LANES}):",
    ]
    return "\n".join(head + ["   " + line for line in body])


def _categorical(key, logits, success, group):
    """Patterns and rewards of a group, each by JAX's own sampler."""
    for_pattern, for_reward = jax.random.split(key)
    pattern = jax.random.categorical(for_pattern, logits, shape=(group,))
    return pattern, jax.random.bernoulli(for_reward, success[pattern])


def _inverse_cdf(key, logits, success, group):
    """Patterns and rewards of a group from one uniform each."""
    policy = jax.nn.softmax(logits)
    edges = jnp.cumsum(policy)
    uniform = jax.random.uniform(key, (group,), logits.dtype)
    pattern = jnp.sum(uniform[:, None] >= edges[:-1], axis=1)
    return pattern, uniform < edges[pattern] - policy[pattern] * (1 - success[pattern])


@partial(jax.jit, static_argnames=("steps", "group", "draw"))
def _jax_train(ref, success, learning_rate, seed, *, steps, group, draw):
    def step(logits, key, success):
        pattern, right = draw(key, logits, success, group)
        reward = right.astype(logits.dtype)
        std = jnp.std(reward)
        weight = jnp.where(std > 0, (reward - jnp.mean(reward)) / jnp.where(std > 0, std, 1), 0)
        chosen = jax.nn.one_hot(pattern, logits.size, dtype=logits.dtype)
        gradient = jnp.mean(weight[:, None] * (chosen - jax.nn.softmax(logits)), axis=0)
        return logits + learning_rate * gradient, None

    def train(ref, success, key):
        keys = jax.random.split(key, steps)
        logits, _ = jax.lax.scan(lambda logits, key: step(logits, key, success), jnp.log(ref), keys)
        return jax.nn.softmax(logits)

    return jax.vmap(train)(ref, success, jax.random.split(jax.random.key(seed), len(ref)))


def jax_naive(ref, success, learning_rate, steps, group, seed):
    """Policies after training, by what one writes first: vmap of a scan, `categorical` and `bernoulli`, jitted."""
    rate = jnp.float32(learning_rate)
    return _jax_train(ref, success, rate, seed, steps=steps, group=group, draw=_categorical)


def jax_inverse_cdf(ref, success, learning_rate, steps, group, seed):
    """Policies after training, as `jax_naive` with one uniform a rollout and the inverse of the distribution."""
    rate = jnp.float32(learning_rate)
    return _jax_train(ref, success, rate, seed, steps=steps, group=group, draw=_inverse_cdf)


PEERS: dict[str, Callable[..., Any]] = {
    "NumPy": numpy_loop,
    "Numba": numba_kernel,
    "JAX, categorical": jax_naive,
    "JAX, inverse CDF": jax_inverse_cdf,
}


def check(
    others: dict[str, Callable[..., Any]] | None = None, runs: int = 4096, steps: int = 60
) -> dict[str, float]:
    """Hold all peers (and `others` of the same signature) against the first one, on the same problems.

    Accuracy Σ π_r p_r says that they climb alike, concentration Σ π_r² that their noise is alike, for groups of
    16 and of 3, where silent groups are common. Runs are independent, so the mean difference over runs, each
    with its own problem, has a standard error; four of them are allowed.

    Returns:
      The largest |z| of each peer.

    Raises:
      AssertionError: a peer differs by more than four standard errors, or a policy is not one.
    """
    rng = np.random.default_rng(0)
    ref = rng.dirichlet(np.ones(10), runs).astype(np.float32) + np.float32(1e-6)
    ref /= ref.sum(axis=1, keepdims=True)
    success = rng.random(ref.shape, dtype=np.float32)
    peers = PEERS | (others or {})
    worst = dict.fromkeys(list(peers)[1:], 0.0)
    for group in (16, 3):
        seen: dict[str, dict[str, np.ndarray]] = {}
        for i, (name, peer) in enumerate(peers.items()):
            policy = np.asarray(peer(ref, success, 0.2, steps, group, i + 1), np.float64)
            assert policy.shape == ref.shape, f"{name}: shape {policy.shape}"
            assert np.abs(policy.sum(axis=1) - 1).max() < 1e-5, f"{name}: policies do not sum to 1"
            seen[name] = {
                "accuracy": (policy * success).sum(axis=1),
                "concentration": (policy**2).sum(axis=1),
            }
        first = seen.pop(next(iter(peers)))
        for name, values in seen.items():
            for quantity, value in values.items():
                difference = value - first[quantity]
                z = difference.mean() / (difference.std(ddof=1) / np.sqrt(runs))
                worst[name] = max(worst[name], abs(float(z)))
                assert abs(z) < 4, f"{name}, groups of {group}: {quantity} is {z:.1f} standard errors off"
    return worst
