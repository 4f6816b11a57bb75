"""`qra solve --tree`: a tree of reasoning steps; what can be refused is refused before JAX is loaded."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from qra_jax.cli.commands import Solve

if TYPE_CHECKING:
    from qra_jax.tree import Credit

CREDITS = {
    "exact": "",
    "uniform": "",
    "monte_carlo": "K",
    "critic": "RATE",
    "segments": "DEPTH,DEPTH",
    "siblings": "",
}
"""Ways to pay steps, and what may stand behind a colon."""
OF_TREES = ("algorithm", "group_size", "credit")
"""Options that only a tree has."""


def check_without(command: Solve) -> None:
    """Refuse a command without a tree that has options of one, or no question at all.

    Args:
      command: without a tree.

    Raises:
      ValueError: in one line, which argument and what is wrong.
    """
    for name in OF_TREES:
        if getattr(command, name) is not None:
            raise ValueError(f"{name}: given without tree; must not be, solve times several algorithms")
    if not command.ref and not command.success:
        raise ValueError("missing: --ref or --tree (see qra solve --help)")


def solve(command: Solve) -> int:
    """Say what the theory says of a tree.

    Args:
      command: with a tree.

    Returns:
      Exit status.

    Raises:
      ValueError: in one line, which argument, file or state and what is wrong.
    """
    from qra_jax import _nested_files
    from qra_jax.cli import inputs
    from qra_jax.cli.actions import preset_of, report_preset
    from qra_jax.cli.session import busy, writable, wrote

    for name in ("ref", "success"):
        if getattr(command, name):
            raise ValueError(f"{name}: given with tree; must not be, the tree has its own")
    for name in ("algorithm", "group_size"):
        if command.config is not None and getattr(command, name) is not None:
            raise ValueError(f"{name}: given with config; must not be, the configuration has its own")
    listed = _nested_files.read(command.tree or "")
    target = inputs.number("target", command.target, "in (0, 1)")
    if not 0 < target < 1:
        raise ValueError(f"target: {target:g}; must be in (0, 1)")
    size = 8 if command.group_size is None else command.group_size
    if size < 1:
        raise ValueError(f"group_size: {size}; must be 1 or above")
    how = read_credit(command.credit or "exact")
    if command.plot is not None:
        from qra_jax import plot

        writable("plot", plot.check_path("plot", command.plot))
    preset = preset_of(command.config)
    from qra_jax.consult import tree_report
    from qra_jax.consult.tree_diagnosis import diagnose_tree
    from qra_jax.tree import Tree

    tree, (credit, called), asides = Tree._of(listed), as_credit(*how), []
    if preset is None:
        algorithm = _algorithm(command.algorithm or "grpo", size)
    else:
        from qra_jax.consult import Hyperparameters

        settings, asides = Hyperparameters.of(preset.setup)
        algorithm = settings.trained.with_group_size(settings.group_size)
    with busy("solving (the first time compiles, ~20 s)"):
        diagnosis = diagnose_tree(tree, algorithm=algorithm, credit=credit, name=called, target=target)
    if command.plot is not None:
        from qra_jax.tree import panels

        paid = {one.name: one.paid for one in diagnosis.estimators if one.paid is not None}
        wrote(plot.save(panels.sheet(tree, paid), command.plot))
    if command.json:
        print(tree_report.to_json(diagnosis))
    else:
        tree_report.show(diagnosis)
        report_preset(preset, asides)
    return 0


def read_credit(text: str) -> tuple[str, tuple[float | int, ...]]:
    """The name of a credit and the numbers behind its colon; needs no JAX.

    Args:
      text: such as `"exact"`, `"monte_carlo:4"` or `"segments:2,4"`.

    Returns:
      Name and numbers.

    Raises:
      ValueError: an unknown name, or numbers out of range.

    >>> read_credit("segments:2,4"), read_credit("critic")
    (('segments', (2, 4)), ('critic', (0.1,)))
    """
    name, colon, rest = text.strip().replace("-", "_").partition(":")
    if name not in CREDITS:
        forms = [f"{one}:{of}" if of else one for one, of in CREDITS.items()]
        near = difflib.get_close_matches(name, CREDITS, 1)
        raise ValueError(
            f"credit: {text!r}; must be one of {', '.join(forms)}{f' ({near[0]}?)' if near else ''}"
        )
    if not CREDITS[name] and colon:
        raise ValueError(f"credit: {text!r}; must be {name}, without numbers")
    if name == "monte_carlo":
        (number,) = _numbers(text, rest, int, 1) if colon else (9,)
        if number < 1:
            raise ValueError(f"credit: {text!r}; K must be a whole number of rollouts, 1 or above")
        return name, (number,)
    if name == "critic":
        (rate,) = _numbers(text, rest, float, 1) if colon else (0.1,)
        if not 0 < rate <= 1:
            raise ValueError(f"credit: {text!r}; RATE must be in (0, 1]")
        return name, (rate,)
    if name == "segments":
        depths = _numbers(text, rest, int, None)
        if list(depths) != sorted(set(depths)) or min(depths) < 1:
            raise ValueError(f"credit: {text!r}; depths must increase from 1 or above")
        return name, depths
    return name, ()


def _numbers(text: str, rest: str, kind: Any, count: int | None) -> tuple[Any, ...]:
    """Numbers separated by commas."""
    pieces, what = rest.split(","), "whole numbers" if kind is int else "numbers"
    try:
        found = tuple(kind(piece) for piece in pieces)
    except ValueError:
        found = ()
    if not found or len(found) != (count or len(found)):
        name = text.partition(":")[0]
        allowed = f"a {what[:-1]}" if count else f"{what}, such as {name}:2,4"
        raise ValueError(f"credit: {text!r}; must have {allowed} behind the colon")
    return found


def as_credit(name: str, numbers: tuple[float | int, ...]) -> tuple[Credit, str]:
    """A credit, and what to call it.

    Args:
      name: as from [`read_credit`][].
      numbers: the same.

    Returns:
      The `Credit` and its name.
    """
    from qra_jax.tree import credit

    if name == "monte_carlo":
        return credit.monte_carlo(int(numbers[0])), f"Monte Carlo, K = {numbers[0]}"
    if name == "critic":
        return credit.critic(numbers[0]), f"critic, rate {numbers[0]:g}"
    if name == "segments":
        depths = tuple(int(number) for number in numbers)
        return credit.exact(segments=depths), f"segments at {', '.join(map(str, depths))}"
    return {"exact": credit.exact, "uniform": credit.uniform, "siblings": credit.siblings}[name](), name


def _algorithm(name: str, group_size: int) -> Any:
    """An algorithm that its group size says enough of."""
    from qra_jax import _check
    from qra_jax.consult.hyperparameters import ALGORITHMS

    _check.choice("algorithm", name, tuple(ALGORITHMS))
    return ALGORITHMS[name](group_size)
