"""The map of recipes: cells, interpolation, what is outside, and what `qra advise` says of it."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from qra_jax import cli
from qra_jax.consult import recipe_map
from qra_jax.consult.recipe_map import recommend
from qra_jax.studies.data import _which as networks, _which_map as maps


@pytest.fixture(scope="module")
def made():
    return recipe_map._map()


def test_the_file_has_every_cell_and_its_source(made):
    assert made["source"]["study"] == "which-recipe"
    assert made["source"]["seeds"] >= 8
    assert made["source"]["date"]
    assert made["demonstrations"] == list(networks.HANDS.values())
    cells = [cell for hand in made["cells"] for level in hand for cell in level]
    assert len(cells) == len(made["demonstrations"]) * len(made["levels"]) * len(made["rollouts"])
    for cell in cells:
        assert {cell["best"], cell["second"]} <= set(maps.CHOICES)
        assert cell["best"] != cell["second"]
        assert cell["interval"][0] <= cell["difference"] <= cell["interval"][1]
    for level in made["cells"][0]:
        assert all(cell["best"] not in (networks.SFT, networks.BOTH, networks.HINTS) for cell in level)


def test_a_cell_is_found_by_its_own_numbers(made):
    for i, level in enumerate(made["levels"]):
        for j, demonstrations in enumerate(made["demonstrations"]):
            for k, rollouts in enumerate(made["rollouts"]):
                asked = {int(one): value for one, value in level["pass_at"].items()}
                found = recommend(asked, demonstrations=demonstrations, rollouts=rollouts)
                cell = made["cells"][j][i][k]
                assert (found.recipe, found.second, found.outside) == (cell["best"], cell["second"], ())
                assert found.decided == (cell["interval"][0] > 0)
                assert found.plain()["recommended"] == (cell["best"] if found.decided else "undecided")


def test_what_is_outside_is_said(made):
    level = {int(k): value for k, value in made["levels"][2]["pass_at"].items()}
    assert recommend(level).outside == ()
    assert "100 × the largest" in recommend(level, rollouts=100 * made["rollouts"][-1]).outside[0]
    assert "of the smallest" in recommend(level, rollouts=1).outside[0]
    assert recommend(level, demonstrations=10_000).outside == ("10000 demonstrations",)
    assert recommend({1: 1e-5, 16: 2e-4}).outside == ("no base had such pass@k",)
    # The same pass@1 with another pass@16 is another base.
    assert recommend({1: level[1], 16: 0.9999}).outside == ("no base had such pass@k",)


def test_bad_questions_are_refused():
    cases: list[tuple[Any, str]] = [
        ({"pass_at": {}}, "pass_at: empty"),
        ({"pass_at": {0: 0.5}}, "k = 0"),
        ({"pass_at": {1: 1.5}}, "must be in"),
        ({"pass_at": {1: 0.5}, "demonstrations": -1}, "demonstrations: -1"),
        ({"pass_at": {1: 0.5}, "rollouts": 0}, "rollouts: 0"),
    ]
    for options, word in cases:
        with pytest.raises(ValueError, match=word):
            recommend(**options)


def test_the_best_of_a_cell_and_its_interval():
    random = np.random.default_rng(0)
    noise = 0.01 * random.normal(size=(1, 6, 8))
    values = xr.DataArray(noise, {"choice": list(maps.CHOICES)}, ["cell", "choice", "seed"])
    values = values + xr.DataArray([0.1, 0.2, 0.7, 0.5, np.nan, np.nan], dims="choice")
    found = maps.best(values).isel(cell=0)
    assert (found.best.item(), found.second.item()) == (networks.RL, networks.SFT)
    gap = values.sel(choice=networks.RL) - values.sel(choice=networks.SFT)
    half = 2.3646 * gap.std(ddof=1) / np.sqrt(8)
    assert float(found.low) == pytest.approx(float(gap.mean() - half), abs=1e-6)
    assert float(found.low) > 0


def test_advice_names_the_recipe_and_its_source(capsys, made):
    at = made["levels"][3]["pass_at"]
    words = ["advise", "--pass-at", f"1={at['1']}", f"16={at['16']}", "--demonstrations", "256"]
    words += ["--batch-prompts", "8", "--group-size", "8", "--steps", str(made["rollouts"][-1] // 64)]
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recipe"]
    cell = made["cells"][2][3][-1]
    assert (found["recipe"], found["second"], found["outside"]) == (cell["best"], cell["second"], [])
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "Recipe: " in said
    assert cell["best"] in said
    assert f"Source: {made['source']['said']}; not your model." in said
    assert cli.main(["advise", "--pass-at", "1=.2", "16=.8"]) == 0
    assert "Outside the map: your budget is" in capsys.readouterr().out.replace("\n", " ")
    assert cli.main(["advise", "--from", "x.csv", "--demonstrations", "3"]) == 2
    assert "demonstrations: given alone" in capsys.readouterr().err
