"""Recorded quick data: of the experiments that studies have, and of the form that new data have."""

import os
from pathlib import Path

import pytest

from qra_jax import studies
from qra_jax.studies.lab import store
from tests.studies import record

NAMES = sorted(folder.name for folder in record.RECORDED.iterdir())
NEW = os.environ.get("QRA_ARTIFACTS")
OLD = "recorded data are of another form; record them anew: python -m tests.studies.record --help"


def form(data):
    """Variables with their dimensions, sizes and kinds of numbers, and the names that label dimensions."""
    variables = {name: (dict(one.sizes), one.dtype.kind) for name, one in data.variables.items()}
    labels = {name: one.values.tolist() for name, one in data.coords.items() if one.dtype.kind in "UOS"}
    return variables, labels


@pytest.mark.parametrize("name", NAMES)
def test_recorded_experiments_are_those_of_a_study(name):
    assert name in studies.names(), OLD
    assert set() < set(record.data(name)) <= set(studies.load(name).experiments), OLD


@pytest.mark.skipif(NEW is None, reason="no new data: QRA_ARTIFACTS is not set")
@pytest.mark.parametrize("name", NAMES)
def test_recorded_data_have_the_form_of_new_ones(name):
    for experiment, print_ in studies.load(name).fingerprints(quick=True).items():
        new = store.path(Path(NEW) / name, experiment, print_)
        if new.is_file():
            assert form(record.data(name)[experiment]) == form(store.read(new)), OLD
