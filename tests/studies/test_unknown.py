"""What is not known decides nothing: a variable of a study's data that is NaN leaves open all that was read from it."""

import numpy as np
import pytest
import xarray as xr

from qra_jax import studies
from tests.studies import claims


def records(evidence, level):
    return [test.record(level) for test in evidence.tests()]


def decided(before, after):
    """Elements of an estimate that changed and are decided all the same."""
    old, new = (np.asarray(record["estimate"], object).astype(float) for record in (before, after))
    outcome = np.asarray(after["outcome"])
    changed = (
        ~((old == new) | (np.isnan(old) & np.isnan(new)))
        if old.shape == new.shape
        else np.ones(new.shape, bool)
    )
    return bool((outcome[changed] != 0).any())


@pytest.mark.parametrize("name", studies.names())
def test_unknown_data_leave_a_claim_open(name):
    study = studies.load(name)
    data, findings = claims.quick(study), claims.findings(study)
    reads, before, wrong = {}, {}, []
    for claim, finding in findings.items():
        seen = data.fresh()
        study.claims[claim].judge(seen)
        reads[claim] = set(seen.read)
        before[claim] = records(finding.evidence, finding.level)
    for experiment, result in data.items():
        for variable in (v for v in result.data_vars if result[v].dtype.kind == "f"):
            unknown = data.change(experiment, **{variable: np.nan})
            for claim, finding in findings.items():
                if experiment not in reads[claim]:
                    continue
                with np.errstate(all="ignore"), xr.set_options(arithmetic_join="exact"):
                    after = records(study.claims[claim].judge(unknown.fresh()), finding.level)
                pairs = zip(before[claim], after, strict=False)
                if any(decided(*pair) for pair in pairs):
                    wrong.append(f"{claim} is decided where {experiment}.{variable} is NaN")
    assert not wrong, "\n".join(wrong)
