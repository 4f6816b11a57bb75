"""The command `qra`: arguments first, JAX only once they are understood."""

from qra_jax.cli.entry import main

__all__ = ["main"]
