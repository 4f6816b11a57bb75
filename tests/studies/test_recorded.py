"""Recorded quick data: of the experiments that studies have, and of the form that new data have."""

import os
from pathlib import Path

import pytest

from qra_jax import studies
from qra_jax.studies.lab import store
from tests.studies import record

NAMES = sorted(folder.name for folder in record.RECORDED.iterdir())
NEW = os.environ.get("QRA_ARTIFACTS")
AGAIN = "record it anew: python -m tests.studies.record --help"


def form(data):
    """Variables with their dimensions and kinds of numbers."""
    return {name: (variable.dims, variable.dtype.kind) for name, variable in data.variables.items()}


@pytest.mark.parametrize("name", NAMES)
def test_recorded_experiments_are_those_of_a_study(name):
    assert name in studies.names(), AGAIN
    recorded = {file.name.removesuffix(".nc.xz") for file in (record.RECORDED / name).iterdir()}
    assert recorded <= set(studies.load(name).experiments), AGAIN


@pytest.mark.skipif(NEW is None, reason="no new data: QRA_ARTIFACTS is not set")
@pytest.mark.parametrize("name", NAMES)
def test_recorded_data_have_the_form_of_new_ones(name):
    for experiment, print_ in studies.load(name).fingerprints(quick=True).items():
        new = store.path(Path(NEW) / name, experiment, print_)
        if new.is_file():
            assert record.path(name, experiment).is_file(), AGAIN
            assert form(record.read(record.path(name, experiment))) == form(store.read(new)), AGAIN
