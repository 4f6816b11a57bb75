"""Reading a configuration: recognise it, read its fields, and only then, with JAX, make the setup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qra_jax.presets import source, trl, verl
from qra_jax.presets.fields import TRAINERS
from qra_jax.presets.reader import Config, Draft, Part, Read

if TYPE_CHECKING:
    from qra_jax.setup import Setup

READERS = {"trl": trl.read, "verl": verl.read}
LISTED = 6
"""Ignored fields of one reason that a report names."""


@dataclass(frozen=True, repr=False)
class Preset:
    """A trainer's configuration in our parts, and what became of each of its fields.

    Attributes:
      setup: the configuration in our parts.
      used: fields that were read: name, value, how.
      ignored: fields that were left aside: name, value, why.
      unknown: names that neither this trainer nor we know.
      trainer: `"trl"` or `"verl"`.
      hints: the nearest known name of those unknown ones that resemble one.
      defaults: the trainer's own defaults that were taken for fields the file does not give: name, value, how.
    """

    setup: Setup
    used: tuple[Read, ...]
    ignored: tuple[Read, ...]
    unknown: tuple[str, ...]
    trainer: str
    hints: Mapping[str, str] = field(default_factory=dict)
    defaults: tuple[Read, ...] = ()

    def __repr__(self) -> str:
        counts = f"{len(self.used)} fields used, {len(self.ignored)} ignored, {len(self.unknown)} unknown"
        return f"Preset({TRAINERS[self.trainer]}: {self.setup}; {counts})"

    def report(self) -> str:
        """What became of each field, in lines.

        Returns:
          Text: the setup, then the fields used, assumed, ignored (in groups of one reason) and unknown.
        """
        lines = [f"{TRAINERS[self.trainer]}: {self.setup}"]
        for title, reads in (("used", self.used), ("assumed, the trainer's default", self.defaults)):
            if reads:
                lines.append(f"{title}:")
                lines += [f"  {one.field} = {one.value}: {one.how}" for one in reads]
        reasons: dict[str, list[str]] = {}
        for one in self.ignored:
            reasons.setdefault(one.how, []).append(one.field)
        if reasons:
            lines.append("ignored:")
            lines += [f"  {_listed(names)}: {why}" for why, names in reasons.items()]
        if self.unknown:
            lines.append("unknown:")
            lines += [f"  {name}{self.hint(name)}" for name in self.unknown]
        return "\n".join(lines)

    def hint(self, name: str) -> str:
        """The nearest known name of an unknown field, in words.

        Args:
          name: the unknown field.

        Returns:
          Such as `" (nearest: epsilon_high)"`, or nothing.
        """
        return f" (nearest: {self.hints[name]})" if name in self.hints else ""


def read(config: Mapping[str, Any] | str | Path | Sequence[str]) -> Preset:
    """A trainer's own configuration in our parts: TRL's `GRPOConfig` or verl's, recognised by its fields.

    Args:
      config: a dictionary, nested or dotted; the path of a JSON or YAML file, of a script or of a saved argument file;
        text of JSON or YAML; or command-line overrides such as `["actor_rollout_ref.rollout.n=8"]`.

    Returns:
      A `Preset`: the setup, and what became of each field. Fields that nobody knows are named, with the nearest name
      that is known.

    Raises:
      ValueError: in one line that names the file and the field: no such file, none of these trainers, a value that is
        no value of its field, or fields that contradict each other.

    >>> preset = read({"num_generations": 16, "epsilon": 0.2, "epsilon_high": 0.28, "epsilom": 0.1})
    >>> preset.setup.off_policy, preset.hints
    (OffPolicy(clip = (0.2, 0.28)), {'epsilom': 'epsilon'})
    """
    name, values = source.load(config)
    trainer = source.trainer(name, values)
    fields = Config(name, trainer, values)
    plan = READERS[trainer](fields)
    unknown, hints = fields.close()
    try:
        setup = make(plan)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    order = list(values)
    sort = lambda reads: tuple(sorted(reads.values(), key=lambda one: order.index(one.field)))  # noqa: E731
    return Preset(
        setup,
        sort(fields.used),
        sort(fields.ignored),
        tuple(unknown),
        trainer,
        hints,
        tuple(fields.defaults.values()),
    )


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:LISTED])} and {rest} more"


def make(plan: Draft) -> Setup:
    """The setup of a plan; from here on JAX is needed.

    Args:
      plan: the parts in plain data.

    Returns:
      A `Setup`.

    Raises:
      ValueError: a part refuses its arguments.
    """
    from qra_jax import algorithm, regularizer, reward
    from qra_jax.off_policy import OffPolicy
    from qra_jax.setup import Optimizer, Setup

    def made(home: Any, part: Part) -> Any:
        options = dict(part.options)
        if isinstance(options.get("reference"), Mapping):
            options["reference"] = regularizer.Reference(**options["reference"])
        return getattr(home, part.factory)(*part.arguments, **options)

    earned = reward.verifiable()
    if plan.kl_in_reward:
        earned = reward.kl_in_reward(earned, plan.kl_in_reward)
    return Setup(
        made(algorithm, plan.algorithm),
        OffPolicy(**plan.off_policy),
        tuple(made(regularizer, part) for part in plan.regularizers),
        earned,
        Optimizer(**plan.optimizer),
        plan.learning_rate,
        plan.steps,
        plan.normalize,
        plan.token_mask,
        plan.overlong,
        plan.questions,
    )
