"""Studies of data, which are still being written: each claim can fail, and can be left open."""

import os

import pytest

from qra_jax import studies
from tests.studies import claims


@pytest.mark.skipif(not os.environ.get(studies.DRAFTED), reason="drafts")
@pytest.mark.parametrize(
    ("study", "claim", "kind", "mutate"),
    claims.tables("data") if os.environ.get(studies.DRAFTED) else [],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_claims_can_fail(study, claim, kind, mutate):
    claims.check(study, claim, kind, mutate)
