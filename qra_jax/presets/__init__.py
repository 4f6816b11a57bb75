"""Presets: a trainer's own configuration file in our parts.

[`read`][qra_jax.presets.preset.read] takes TRL's `GRPOConfig` or verl's configuration as it is, and says of each field
whether it was used and how, ignored and why, or is unknown. Nothing here needs JAX until a file has been understood.
"""

from qra_jax.presets.fields import FIELDS as FIELDS, TRAINERS as TRAINERS, Field as Field
from qra_jax.presets.preset import Preset as Preset, read as read
from qra_jax.presets.reader import Read as Read

__all__ = ["FIELDS", "TRAINERS", "Field", "Preset", "Read", "read"]
