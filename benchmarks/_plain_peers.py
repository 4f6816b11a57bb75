"""Peers for the benchmark of sampled training as one writes them first: short, vectorised or compiled, not tuned.

Same model and signature as the tuned ones in `_training_peers`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def plain_numpy(ref, success, learning_rate, steps, group, seed):
    """Vectorised over runs, a Python loop over steps, inverse CDF by comparison."""
    rng = np.random.default_rng(seed)
    runs, patterns = ref.shape
    rows = np.arange(runs)[:, None]
    logits = np.log(ref)
    eye = np.eye(patterns, dtype=np.float32)
    for _ in range(steps):
        policy = np.exp(logits - logits.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        ladder = policy.cumsum(axis=1)
        pattern = (rng.random((runs, group, 1), np.float32) > ladder[:, None, :-1]).sum(axis=2)
        reward = (rng.random((runs, group), np.float32) < success[rows, pattern]).astype(np.float32)
        centred = reward - reward.mean(axis=1, keepdims=True)
        std = reward.std(axis=1, keepdims=True)
        weight = np.divide(centred, std, out=np.zeros_like(centred), where=std > 0)
        gradient = (weight[:, :, None] * (eye[pattern] - policy[:, None])).mean(axis=1)
        logits = logits + np.float32(learning_rate) * gradient
    policy = np.exp(logits - logits.max(axis=1, keepdims=True))
    return policy / policy.sum(axis=1, keepdims=True)


def plain_numba(ref, success, learning_rate, steps, group, seed):
    """A parallel loop over runs in scalar code, each with its own xoroshiro64* generator."""
    policy = np.empty(ref.shape, np.float32)
    _compiled()(ref, success, np.float32(learning_rate), steps, group, np.uint64(seed), policy)
    return policy


@cache
def _compiled() -> Any:
    try:
        import numba
    except ImportError as error:
        raise ImportError("the peer plain_numba needs Numba: pip install numba") from error

    @numba.njit
    def softmax(logits, policy):
        top = logits.max()
        total = np.float32(0)
        for r in range(logits.size):
            policy[r] = np.exp(logits[r] - top)
            total += policy[r]
        for r in range(logits.size):
            policy[r] /= total

    @numba.njit(parallel=True, fastmath=True)
    def run(ref, success, rate, steps, group, seed, out):
        runs, patterns = ref.shape
        for i in numba.prange(runs):
            state = (np.uint64(seed) + np.uint64(i + 1)) * np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            s0, s1 = np.uint32(state & np.uint64(0xFFFFFFFF)), np.uint32(state >> np.uint64(32))
            logits, policy = np.log(ref[i]), np.empty(patterns, np.float32)
            right, chosen = np.empty(patterns, np.float32), np.empty(patterns, np.float32)
            for _ in range(steps):
                softmax(logits, policy)
                right[:], chosen[:] = 0, 0
                accepted = np.float32(0)
                for _ in range(group):
                    word = np.uint32(s0 * np.uint32(0x9E3779BB))
                    s1 = np.uint32(s1 ^ s0)
                    s0 = np.uint32((s0 << np.uint32(26) | s0 >> np.uint32(6)) ^ s1 ^ (s1 << np.uint32(9)))
                    s1 = np.uint32(s1 << np.uint32(13) | s1 >> np.uint32(19))
                    number = np.float32(word >> np.uint32(8)) * np.float32(2**-24)
                    r = 0
                    while number >= policy[r] and r < patterns - 1:
                        number -= policy[r]
                        r += 1
                    chosen[r] += 1
                    if number < policy[r] * success[i, r]:  # one number decides pattern and reward
                        right[r] += 1
                        accepted += 1
                mean = accepted / np.float32(group)
                if 0 < mean < 1:
                    scale = rate / (np.float32(group) * np.sqrt(mean * (1 - mean)))
                    for r in range(patterns):
                        logits[r] += scale * (right[r] - mean * chosen[r])
            softmax(logits, policy)
            out[i] = policy

    return run
