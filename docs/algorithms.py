"""Writes docs/algorithms.md: every algorithm, off-policy option, penalty and length normalisation, from the code.

    python docs/algorithms.py

What is said of a part comes from its docstring and its registry entry; weights, clocks and exponents are computed.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import qra_jax as qra
from qra_jax import parts
from qra_jax.registry import ALGORITHMS

PAGE = Path(__file__).with_name("algorithms.md")
GROUP, ACCURACIES, RIGHT = 8, (0.05, 0.3, 0.8), (1, 4, 7)

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "reinforce": ({"group_size": GROUP},),
    "grpo": (
        {"group_size": GROUP},
        {"group_size": GROUP, "ddof": 1, "epsilon": 1e-4},
        {"group_size": GROUP, "resample_silent": True},
        {"group_size": GROUP, "scale": "batch"},
        {"group_size": GROUP, "scale": "none"},
        {},
    ),
    "dr_grpo": ({"group_size": GROUP}, {"group_size": GROUP, "resample_silent": True}, {}),
    "maxrl": ({"group_size": GROUP}, {}),
    "pass_at_k": ({"k": 4, "group_size": GROUP}, {"k": 4}),
    "grpo_passk": ({"group_size": GROUP}, {"group_size": GROUP, "divide_by_std": True}),
    "passk_training": ({"k": 4, "group_size": GROUP},),
    "paired_grpo": ({"group_size": 16, "pairs": 4},),
    "reinforce_pp": ({"group_size": GROUP}, {"group_size": GROUP, "baseline": "group"}),
    "filtered_sft": (
        {"group_size": GROUP},
        {"keep": "negative", "group_size": GROUP},
        {"keep": "both", "group_size": GROUP},
        {"per": "accepted", "group_size": GROUP},
        {"per": "accepted"},
    ),
    "tsallis": ({"q": 0.5, "group_size": GROUP}, {"q": 0.5}),
    "dpo": ({"beta": 0.1, "group_size": GROUP}, {"beta": 0.1, "pairs": "reference", "group_size": GROUP}),
}
"""Arguments with which an algorithm is shown; one that is not listed is shown with a group of `GROUP`."""

KINDS = "group", "filtered", "best_of", "pairing", "preference"
"""Modules of `qra_jax.algorithm` in the order of the page."""

LEFT_OUT = (
    (
        "GDPO (Liu et al., arXiv 2601.05242)",
        "its last division by the batch; several rewards, each divided by its own standard deviation and then summed, "
        "are `shaping.separately(qra.grpo(8), qra.several(…), problem)`: no single orbit",
    ),
    (
        "top-entropy mask, Clip-Cov, KL-Cov (`token_mask`)",
        "choose tokens of a sequence; `transformer` only, as a tabular answer is one decision",
    ),
    ("overlong punishment (`overlong`)", "counts tokens; `transformer` only"),
    (
        "GSPO, GMPO (`surrogate`)",
        "average ratios over a sequence; `transformer` only, for one decision they are the clip",
    ),
    ("`correction_level`", "token or sequence are the same for one decision; it matters in `transformer`"),
    (
        "learned critics (PPO with GAE)",
        "a baseline that is trained as well; a constant one is `reinforce(baseline=b)`, and one below the value of old "
        'rollouts is that with `OffPolicy(surrogate="none")`',
    ),
)

HEAD = f"""# Algorithms and options in use

Written from the code by `python docs/algorithms.py`. An algorithm is how the rewards of a group become weights A_i; its
*clock* c(ρ) is the speed along the orbit that all of them share, for rewards of 0 and 1, tabular, on-policy and in
expectation. The tables give, for a group of {GROUP}, the weights of a right and of a wrong rollout among k right ones,
the clock at accuracy ρ, the time from ρ₀ → 0 to ρ = ½ (*cold start*) and how 1 − ρ falls late (*tail*), both for two
patterns with success rates 1 and 0; `G → ∞` is the limit of large groups. Weights are those before anything is divided
by a statistic of the batch, or a greedy rollout's reward subtracted. What a trainer calls it stands after its name.

## Algorithms"""

BATCHED = (
    "Scaled by the batch: clocks of three questions of these accuracies in equal shares; cold start and tail of one "
    "question while the batch's factor stays."
)


def page() -> str:
    """The page."""
    with jax.enable_x64(True):
        sections = [_algorithm(name) for name in sorted(ALGORITHMS, key=_kind)]
    return "\n\n".join([HEAD, *sections, *_off_policy(), *_penalties(), *_lengths(), _left_out()]) + "\n"


def _kind(name: str) -> int:
    """Place of an algorithm's module; within it, algorithms stay in the order of the registry."""
    module = ALGORITHMS[name].__module__.rpartition(".")[2]
    return KINDS.index(module) if module in KINDS else len(KINDS)


def _algorithm(name: str) -> str:
    entry = ALGORITHMS.entries[name]
    doc = inspect.getdoc(entry.factory) or ""
    shown = VARIANTS.get(name, ({"group_size": GROUP},))
    told = [f"### {_made(name, shown[0]).name}", f"`{name}{_signature(entry.factory)}`: {first(doc)}"]
    lines = [entry.note] if entry.note else []
    if entry.trainers:
        lines.append(
            "; ".join(
                f"{trainer}: `{said}`" if "=" in said else f"{trainer}: {said}"
                for trainer, said in entry.trainers.items()
            )
            + "."
        )
    lines.append(f"Source: {reference(doc)}")
    told.append("\n".join(f"- {line}" for line in lines))
    told.append(_table([_row(name, arguments) for arguments in shown], COLUMNS))
    if any(_made(name, arguments).batch is not None for arguments in shown):
        told.append(BATCHED)
    return "\n\n".join(told)


COLUMNS = (
    "arguments",
    *(f"A⁺, A⁻ at k = {k}" for k in RIGHT),
    *(f"c({accuracy:g})" for accuracy in ACCURACIES),
    "cold start",
    "tail",
)


def _made(name: str, arguments: dict[str, Any]) -> Any:
    return ALGORITHMS[name](**arguments)


def _row(name: str, arguments: dict[str, Any]) -> list[str]:
    """One line of an algorithm's table: weights, clocks and the laws of both ends."""
    algorithm = _made(name, arguments)
    said = ", ".join(f"{key}={value!r}" for key, value in arguments.items() if key != "group_size")
    size = [] if algorithm.group_size is not None else ["G → ∞"]
    label = ", ".join([*([f"`{said}`"] if said else []), *size]) or "default"
    if algorithm.pairs is not None:
        return [
            label,
            *["by log-ratio"] * len(RIGHT),
            *["no clock"] * len(ACCURACIES),
            "no orbit",
            "no orbit",
        ]
    weights = ["–"] * len(RIGHT)
    if algorithm.group_size is not None:
        tables = algorithm.tables()
        weights = [f"{_number(tables.right[k])}, {_number(tables.wrong[k])}" for k in RIGHT]
    means = jnp.array(ACCURACIES)
    clocks = algorithm.clock(means) if algorithm.batch is None else algorithm.batch_clock(means)
    laws = qra.theory.exponents(replace(algorithm, batch=None))
    return [label, *weights, *map(_number, clocks), cold_start(laws), tail(laws)]


def cold_start(laws: Any) -> str:
    """The time from ρ₀ to one half, in words."""
    power, constant = float(laws.cold_start), float(laws.cold_constant)
    if constant == 0:
        return "bounded"
    return f"{constant:.3g} log(1/ρ₀)" if power == 0 else f"{constant:.3g} ρ₀{_raised(-power)}"


def tail(laws: Any) -> str:
    """How 1 − ρ falls, in words."""
    power, constant = float(laws.tail), float(laws.tail_constant)
    if constant == float("inf"):
        return "finite time"
    if power == float("inf"):
        return f"exp(−{constant:.3g} t)"
    return f"({constant:.3g} t){_raised(-power)}"


def _raised(power: float) -> str:
    return f"{power:.3g}".translate(str.maketrans("-.0123456789", "⁻·⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _number(value: Any) -> str:
    said = f"{float(value):.3g}" if abs(value) > 1e-12 else "0"
    return said.replace("-", "−")


def _off_policy() -> list[str]:
    doc = inspect.getdoc(qra.OffPolicy) or ""
    return [
        "## Off-policy options",
        f"`qra.OffPolicy(…)`: {first(doc)}",
        paragraph(doc, 1),
        _attributes(qra.OffPolicy),
        f"Source: {reference(doc)}",
        "What the surrogates make of a gradient: " + paragraph(inspect.getdoc(qra.OffPolicy.factor) or "", 1),
    ]


def _penalties() -> list[str]:
    lines = [_entry(name, factory) for name, factory in parts.REGULARIZERS.items()]
    lines.append(_entry("kl_in_reward", parts.REWARDS["kl_in_reward"]))
    reference_doc = inspect.getdoc(qra.Reference) or ""
    return [
        "## Penalties",
        "\n".join(lines),
        f"`estimate` of a penalty: {attributes(qra.Regularizer)['estimate']}",
        f"`reference` of a penalty, `qra.Reference(…)`: {first(reference_doc)}",
        paragraph(reference_doc, 1),
        _attributes(qra.Reference),
        f"Source: {reference(reference_doc)}",
    ]


def _entry(name: str, factory: Any) -> str:
    doc = inspect.getdoc(factory) or ""
    source = reference(doc)
    return f"- `{name}{_signature(factory)}`: {first(doc)}" + (f" Source: {source}" if source else "")


def _lengths() -> list[str]:
    doc = inspect.getdoc(qra.normalized) or ""
    kept = attributes(qra.Setup)
    return [
        "## Length normalisation",
        f"`qra.normalized(algorithm, by)`, and `normalize` of networks: {first(doc)}",
        paragraph(doc, 1),
        f"Source: {reference(doc)}",
        "In networks alone:",
        "\n".join(f"- `{name}`: {kept[name]}" for name in ("normalize", "token_mask", "overlong")),
        f"Source: {reference(inspect.getdoc(qra.Setup) or '')}",
        f"`qra.dapo(…)` is a whole configuration: {first(inspect.getdoc(qra.dapo) or '')}",
    ]


def _left_out() -> str:
    return "## What is left out of the tabular theory\n\n" + _table(map(list, LEFT_OUT), ("option", "why"))


def _table(rows: Any, columns: tuple[str, ...]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _signature(factory: Any) -> str:
    """Names and defaults of the arguments, without their types."""
    said = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in said:
            said.append("*")
        said.append(name if parameter.default is parameter.empty else f"{name}={parameter.default!r}")
    return f"({', '.join(said)})"


def _attributes(kind: Any) -> str:
    said = attributes(kind)
    usual = {one.name: one.default for one in fields(kind) if one.default is not MISSING}
    return "\n".join(f"- `{name}` (default `{usual[name]!r}`): {text}" for name, text in said.items())


def attributes(kind: Any) -> dict[str, str]:
    """What a class says of its attributes, each on one line."""
    doc = inspect.getdoc(kind) or ""
    block = re.search(r"^Attributes:\n(.*?)(?=^\S|\Z)", doc, re.MULTILINE | re.DOTALL)
    assert block is not None, kind
    found = re.findall(r"^  (\w+): (.*?)(?=^  \w|\Z)", block[1], re.MULTILINE | re.DOTALL)
    return {name: _plain(text) for name, text in found}


def first(doc: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return paragraph(doc, 0)


def paragraph(doc: str, number: int) -> str:
    """A paragraph of a docstring; a formula on lines of its own keeps them."""
    text = doc.split("\n\n")[number]
    if text.lstrip().startswith("$$"):
        return "\n".join(line.strip() for line in text.splitlines())
    return _plain(text)


def reference(doc: str) -> str:
    """The source that a docstring names, on one line."""
    found = re.search(r"^Reference: (.*?)(?=\n\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return _plain(found[1]) if found else ""


def _plain(text: str) -> str:
    """One line, with the links of the API pages as plain code."""
    return re.sub(r"\[(`[^`]+`)\]\[[^\]]*\]", r"\1", " ".join(text.split()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
