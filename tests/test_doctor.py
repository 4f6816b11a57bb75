"""`qra doctor`: a check that dies is a finding, not the end."""

import json

import pytest

from qra_jax import cli
from qra_jax.cli import actions, doctor


def dies(problem):
    raise RuntimeError("no such [device]\nin this machine")


@pytest.fixture
def broken(monkeypatch):
    checks = {"dies": (dies, 1.0), "is not a number": (lambda problem: float("nan"), 1.0)}
    monkeypatch.setattr(doctor, "CHECKS", checks | {"is well": (lambda problem: 0.5, 1.0)})
    monkeypatch.setattr(actions, "start_jax", lambda: None)


def test_a_check_that_dies_is_told_with_all_the_rest(broken, capsys):
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "dies: RuntimeError: no such [device] in this machine" in out
    assert out.count("FAILED") == 2
    assert "passed" in out
    assert "devices" in out


def test_as_json(broken, capsys):
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [check["passed"] for check in told["checks"]] == [False, False, True]
    assert [check["error"] for check in told["checks"]] == [None, None, 0.5]
    assert told["checks"][0]["crash"].startswith("RuntimeError")
