r"""Random numbers by counting: Threefry-2x32 written out, so that the compiler fuses it into what uses it.

The words of step t are the hash of (t, word index) under the run's own key: any step can be drawn without the
ones before it, and nothing depends on how runs are grouped into blocks, chunks or devices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

Words = UInt32[Array, "..."]
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(key: tuple[Words, Words], counter: tuple[Words, Words], rounds: int = 13) -> tuple[Words, Words]:
    """Threefry-2x32, the hash behind JAX's default keys.

    Args:
      key: two words.
      counter: two words.
      rounds: 20 in JAX; 13, a third faster, are the fewest whose words pass every test of the reference.

    Returns:
      Two random words, of the broadcast shape.

    Reference: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", table 2.
    """
    schedule = (*key, key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x, y = counter[0] + key[0], counter[1] + key[1]
    for i in range(rounds):
        block, distance = i // 4, ROTATIONS[i // 4 % 2][i % 4]
        x = x + y
        y = ((y << jnp.uint32(distance)) | (y >> jnp.uint32(32 - distance))) ^ x
        if i % 4 == 3:
            x = x + schedule[(block + 1) % 3]
            y = y + schedule[(block + 2) % 3] + jnp.uint32(block + 1)
    return x, y


def uniforms(
    seed: UInt32[Array, " two *cells"], step: Array, pairs: int, dtype: jnp.dtype, *, stream: int = 0
) -> tuple[Float[Array, " pairs *cells"], Float[Array, " pairs *cells"]]:
    """Uniform numbers in [0, 1) for one step of every cell, in two halves (as they leave the hash).

    In float32 they are multiples of 2⁻²⁴. In float64 a word has 32 bits, and one more word that all numbers of a
    cell share fills the lower ones: each number alone is uniform to 2⁻⁵³.

    Args:
      seed: `[2, ...]`, each cell's key.
      step: which step.
      pairs: how many pairs.
      dtype: float32 or float64.
      stream: numbers for another purpose at the same step, 0 … 7.

    Returns:
      Two arrays `[pairs, ...]`.
    """
    key = seed[0][None], seed[1][None]
    shape = (-1,) + (1,) * (seed.ndim - 1)
    index = jnp.arange(pairs, dtype=jnp.uint32) + jnp.uint32(stream << 28)
    time = jnp.full((1,) * seed.ndim, step, jnp.uint32)
    first, second = threefry(key, (time, index.reshape(shape)))
    if dtype != jnp.float64:
        return _unit(first, dtype), _unit(second, dtype)
    (low, _) = threefry(key, (time, jnp.full((1,) * seed.ndim, (stream << 28) + (1 << 27), jnp.uint32)))
    fine = low.astype(dtype) * 2.0**-32
    return _fine_unit(first, fine), _fine_unit(second, fine)


def _unit(word: Array, dtype: jnp.dtype) -> Array:
    return (word >> jnp.uint32(8)).astype(dtype) * np.float32(2**-24)


def _fine_unit(word: Array, fine: Array) -> Array:
    return jnp.minimum((word.astype(fine.dtype) + fine) * 2.0**-32, 1 - 2.0**-53)


def normals(
    seed: UInt32[Array, " two *cells"], step: Array, count: int, dtype: jnp.dtype, *, stream: int = 1
) -> Float[Array, " count *cells"]:
    """Standard normal numbers for one step of every cell.

    Args:
      count: how many.

    As for [`uniforms`][]: `seed`, `step`, `dtype`, `stream`.

    Returns:
      `[count, ...]`.
    """
    both = jnp.concatenate(uniforms(seed, step, -(-count // 2), dtype, stream=stream))[:count]
    half = 2.0**-25 if dtype != jnp.float64 else 2.0**-54
    return jax.scipy.special.ndtri(jnp.clip(both + jnp.asarray(half, dtype), half, 1 - 2 * half))
