"""`python -m qra_jax.cli`, the same as `qra`."""

import sys

from qra_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
