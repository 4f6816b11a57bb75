"""Studies of data: each claim can fail, and can be left open."""

import pytest

from tests.studies import claims


@pytest.mark.parametrize(
    ("study", "claim", "kind", "mutate"), claims.tables("data"), ids=lambda x: x if isinstance(x, str) else ""
)
def test_claims_can_fail(study, claim, kind, mutate):
    claims.check(study, claim, kind, mutate)
