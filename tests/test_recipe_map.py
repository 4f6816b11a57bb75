"""The map of recipes: cells, interpolation, what is outside, and what `qra advise` says of it."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from qra_jax import cli
from qra_jax.consult import recipe_map
from qra_jax.consult.recipe_map import recommend
from qra_jax.studies.data import _which as networks, _which_bases as bases, _which_map as maps


@pytest.fixture(scope="module")
def made():
    return recipe_map._map()


def test_the_file_has_every_cell_and_its_source(made):
    assert made["source"]["date"]
    assert made["source"]["fingerprint"]
    assert made["source"]["seeds"] >= 8
    cells = [cell for hand in made["cells"] for level in hand for cell in level]
    assert len(cells) == len(made["demonstrations"]) * len(made["levels"]) * len(made["rollouts"])
    for cell in cells:
        assert {cell["best"], cell["second"]} <= set(maps.CHOICES)
        assert cell["best"] != cell["second"]
        assert cell["interval"][0] <= cell["difference"] <= cell["interval"][1]
        assert cell["networks"] >= maps.ENOUGH * made["source"]["seeds"]
    for level in made["cells"][0]:
        assert all(cell["best"] not in (networks.SFT, networks.BOTH, networks.HINTS) for cell in level)


def test_the_file_belongs_to_the_study_as_it_is(made):
    size, source = bases.FULL, made["source"]
    assert source["study"] == "which-recipe"
    assert source["seeds"] == size.seeds
    assert f"width {size.width} and depth {size.depth}" in source["network"]
    assert made["arms"] == list(networks.arms(networks.RICH.full))
    assert made["demonstrations"] == list(networks.HANDS.values())
    assert made["rollouts"] == [networks.BATCH * mark for mark in size.marks[1:]]
    stopped = [level["stopped_at"] for level in made["levels"]]
    assert stopped == [level for level in size.levels if level in stopped]
    for level in made["levels"]:
        assert [int(k) for k in level["pass_at"]] == [1, *networks.TRIES]
        assert level["pass_at"]["1"] == pytest.approx(level["stopped_at"], rel=1.0)


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
    values = _cells(0.01 * random.normal(size=(2, 4, 8)), [0.1, 0.2, 0.7, 0.5])
    found = maps.best(values).isel(cell=0)
    assert (found.best.item(), found.second.item()) == (networks.RL, networks.SFT)
    gap = (values.sel(choice=networks.RL) - values.sel(choice=networks.SFT)).isel(cell=0)
    half = 2.3646 * gap.std(ddof=1) / np.sqrt(8)
    assert float(found.low) == pytest.approx(float(gap.mean() - half), abs=1e-6)
    assert float(found.low) > 0
    values[{"cell": 0, "choice": 0, "seed": 3}] = np.nan
    found = maps.best(values)
    assert found.accuracy.isnull().values.tolist() == [True, False]
    assert (found.low > 0).values.tolist() == [False, True]


def _cells(noise, means):
    values = xr.DataArray(noise, {"choice": list(maps.CHOICES[:4])}, ["cell", "choice", "seed"])
    return values + xr.DataArray(means, dims="choice")


def test_a_level_is_of_the_networks_that_reach_it():
    stopped = np.full((8, 2), 25)
    stopped[:2, 0], stopped[:3, 1] = -1, -1
    runs = xr.Dataset({"stopped": (("seed", "level"), stopped)}, {"level": [0.1, 0.5]})
    values = xr.DataArray(np.arange(16.0).reshape(2, 8), {"level": [0.1, 0.5]}, ["level", "seed"])
    assert maps.reached(runs, values, 0.1).values.tolist() == [2, 3, 4, 5, 6, 7]  # 6 of 8
    assert maps.reached(runs, values, 0.5).isnull().all()  # 5 of 8
    values[0, 5] = np.nan  # of a network that reached it: not known, and not left out
    assert maps.reached(runs, values, 0.1).isnull().values.tolist() == [False] * 3 + [True] + [False] * 2


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
