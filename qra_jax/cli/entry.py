"""The entry point: understand the arguments, run the command, and say in one line what was wrong with either."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

import qra_jax
from qra_jax.cli import actions, arguments
from qra_jax.cli.commands import Advise, Command, Fit

_OTHER_NAMES = {(Advise, "learning_rate"): "eta", (Fit, "until"): "train_until"}
"""Arguments that are called otherwise where the package complains of them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qra`.

    Args:
      argv: arguments; by default those of the process.

    Returns:
      Exit status: 0; 1 if a study crashed or a check of the doctor failed; 2 for bad input, with one line on stderr;
        130 if interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv) == ["--version"]:
        print(f"qra_jax {qra_jax.__version__}")
        return 0
    try:
        command = arguments.parse(argv)
        try:
            return actions.RUN[type(command)](command)
        except ValueError as error:
            raise ValueError(_as_typed(command, str(error))) from None
    except BrokenPipeError:  # who reads has seen enough, as in qra ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.strerror and error.filename is not None:
            said = f"{error.filename}: {error.strerror}"
        print(f"error: {' '.join(said.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        if str(stop):
            print(f"interrupted: {stop}", file=sys.stderr)
        return 130


def _as_typed(command: Command, complaint: str) -> str:
    """A complaint about an argument, with the argument's name as it was typed."""
    name = re.match(r"\w*", complaint)[0]  # pyright: ignore[reportOptionalSubscript]
    typed = _OTHER_NAMES.get((type(command), name), name).replace("_", "-")
    return typed + complaint[len(name) :] if typed in arguments.options(command) else complaint
