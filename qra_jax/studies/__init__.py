"""Studies: one file for each, which computes its data, draws its figure and states its verdicts.

To add one, write `studies/<name>.py` with what [`base.Study`][] lists and add its name to `REGISTRY`.
"""

import importlib
from typing import cast

from qra_jax import _check
from qra_jax.studies.base import Study, Verdict

REGISTRY: dict[str, str] = {
    name: f"{__name__}.{name.replace('-', '_')}"
    for name in (
        "optimal-policy",
        "regimes",
        "transition-time",
        "stall-atlas",
        "clocks",
        "noisy-verifier",
        "internal-feedback",
        "sft-first",
        "flow-limit",
        "group-size",
        "collapse-map",
        "entropy",
        "kl-variants",
        "staleness",
        "optimizers",
        "policy-iteration",
        "pass-at-k",
        "interference",
        "rl-in-name-only",
        "sft-then-rl",
        "what-to-teach",
        "interleave",
        "primitives",
        "forecast",
        "real-forecast",
        "per-question-clocks",
        "transformer-selection",
        "transformer-rlif",
        "transformer-sft-first",
        "critical-tokens",
        "arithmetic",
    )
}
"""Every study in the order of the report: its name, and the module that holds it."""

__all__ = ["REGISTRY", "Study", "Verdict", "load"]


def load(name: str) -> Study:
    """The module of a study.

    Args:
      name: a name in `REGISTRY`, e.g. `"optimal-policy"`.

    Returns:
      The module.

    Raises:
      ValueError: there is no such study.

    >>> load("regimes").TITLE
    'Two regimes: from the same success rates, one start rises at once and the other falls first'
    """
    _check.choice("study", name, tuple(REGISTRY))
    return cast(Study, importlib.import_module(REGISTRY[name]))
