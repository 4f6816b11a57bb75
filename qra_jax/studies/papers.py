"""Placeholder until the list is there."""
from qra_jax.studies.lab.origin import Paper
QRA_1 = Paper("QRA-1", "Chen, Li, Zou", "2506.04695", "", "Prop. 5.2", "x")
