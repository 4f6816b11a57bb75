"""Studies of weights: a null control that shows the effect leaves its claim open, and so does one unknown member."""

import importlib

import numpy as np
import pytest

from qra_jax import studies
from tests.studies import claims

STUDIES = studies.names("weights")


def module(name):
    return importlib.import_module(f"tests.studies.tables.{name.replace('-', '_')}")


def every(entries):
    return [(name, claim) for name in STUDIES for claim in entries(module(name))]


def judged(name, claim, mutate):
    study = studies.load(name)
    claim = f"{name}/{claim}"
    level = claims.findings(study)[claim].level
    return study.judge(mutate(claims.quick(study)), only=claim, level=level)[0]


@pytest.mark.parametrize(("name", "claim"), every(lambda m: m.SHOWN))
def test_a_null_control_that_shows_the_effect_leaves_open(name, claim):
    found = judged(name, claim, module(name).SHOWN[claim])
    assert found.evidence.decide(found.level).kind in claims.KINDS["holds"]
    assert found.verdict.kind == "open"


@pytest.mark.parametrize(("name", "claim"), every(lambda m: [k for k in m.TABLE if "holds" in m.TABLE[k]]))
def test_one_unknown_member_leaves_open(name, claim):
    study, mutate = studies.load(name), module(name).TABLE[claim]["holds"]
    data = mutate(claims.quick(study)).fresh()
    study.claims[f"{name}/{claim}"].judge(data)
    before = judged(name, claim, mutate).evidence
    for experiment, result in data.read.items():
        for variable, values in result.data_vars.items():
            if values.dtype.kind != "f" or "seed" not in values.dims:
                continue
            unknown = values.where(values.seed.copy(data=np.arange(values.sizes["seed"])) != 1)

            def partly(quick, experiment=experiment, variable=variable, unknown=unknown):
                return mutate(quick).change(experiment, **{variable: unknown})

            after = judged(name, claim, partly)
            same = [x.record(after.level) for x in before.tests()] == [
                x.record(after.level) for x in after.evidence.tests()
            ]
            assert same or after.verdict.kind == "open", variable
