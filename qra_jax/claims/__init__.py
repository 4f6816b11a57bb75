"""The claims as data: read, choose, check, compare and export the records that `qra reproduce` writes; needs no JAX.

A record says what was claimed and by whom, what was predicted and measured, what the controls showed, and the verdict
(`qra_jax/studies/lab/claim.schema.json`). [`load`][qra_jax.claims.load] gives those that this version publishes, with
those that others contributed.
"""

from qra_jax.claims.changes import Changes, diff
from qra_jax.claims.checks import Fault, validate
from qra_jax.claims.conflicts import Conflict, contradictions, divided
from qra_jax.claims.records import ORIGINS, VERDICTS, load, read, said, schema, select
from qra_jax.claims.tables import COLUMNS, croissant, export, to_csv

__all__ = [
    "COLUMNS",
    "ORIGINS",
    "VERDICTS",
    "Changes",
    "Conflict",
    "Fault",
    "contradictions",
    "croissant",
    "diff",
    "divided",
    "export",
    "load",
    "read",
    "said",
    "schema",
    "select",
    "to_csv",
    "validate",
]
