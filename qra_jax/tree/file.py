"""Trees in files."""

from __future__ import annotations

from pathlib import Path

from qra_jax import _nested_files
from qra_jax.tree.model import Tree


def load(path: str | Path) -> Tree:
    """Read a tree from a YAML file, or from a JSON or TOML file of the same form.

    The question has `steps`, a list; each of these has a `chance` and either a `success` rate or `steps` of its own, as
    `Tree.from_nested` takes them:

        name: sum of a series
        steps:
          - {name: guess, chance: .7, success: .3, length: 20}
          - name: derive
            chance: .3
            length: 80
            steps:
              - {name: check, chance: .2, success: .95, length: 40}
              - {name: answer, chance: .8, success: .5, length: 10}

    Args:
      path: ends in .yaml, .yml, .json or .toml.

    Returns:
      The tree.

    Raises:
      ValueError: a file that cannot be read, or no tree; one line that names the file, and the state where there is
        one.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "tree.yaml")
    ...     _ = file.write_text("steps: [{chance: .25, success: 1}, {chance: .75, success: 0}]")
    ...     load(file)
    Tree(3 states, 2 leaves, depth 1, accuracy 0.25)
    """
    return Tree._of(_nested_files.read(path))
