"""Recipes: phases of post-training in sequence, differentiable from end to end.

[`sft`][], [`rlvr`][], [`rlif`][] and [`interleaved`][] make phases, a [`Recipe`][] runs them, [`optimize`][]
improves them and [`sensitivity`][] says what to teach first.
"""

from qra_jax.recipe.design import Design, Sensitivity, optimize, sensitivity
from qra_jax.recipe.phases import Phase, interleaved, rlif, rlvr, sft
from qra_jax.recipe.recipe import Recipe
from qra_jax.recipe.run import RecipeRun
from qra_jax.recipe.schedule import Schedule

__all__ = [
    "Design",
    "Phase",
    "Recipe",
    "RecipeRun",
    "Schedule",
    "Sensitivity",
    "interleaved",
    "optimize",
    "rlif",
    "rlvr",
    "sensitivity",
    "sft",
]
