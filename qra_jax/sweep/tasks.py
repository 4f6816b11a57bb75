"""What a sweep of named parts computes at a point: a hitting time, a training run, a flow, a recipe.

    kind = "hit"                                   # or "train", "flow", "recipe"
    [problem]                                      # as `qra_jax.parts.problem` reads it
    name = "entangled"
    gamma = 6
    [task]                                         # arguments of orbit.hit, training.train, flow.solve, Recipe.run
    algorithm = { name = "grpo", group_size = 8 }
    off_policy = { clip = [0.2, 0.28], epochs = 4 }  # of training.train: the attributes of an OffPolicy
    [[phase]]                                      # the phases of a recipe
    [[axis]]
    path = "problem.gamma"

The path of an axis leads to the entry that it sets, such as `phase[0].time`, `off_policy.clip` or
`off_policy.clip[1]`; `task.` may be left out. Setting `problem.ref[i]` scales the other shares so that they still sum
to one, so only one axis may. A random problem is drawn anew at every point, from the point's key. An axis of group
sizes compiles each of them, as every axis of whole numbers; with `static = false` one program with room for the largest
computes all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check, flow, orbit, parts, training
from qra_jax.algorithm import reinforce
from qra_jax.orbit import batch
from qra_jax.problem import Problem
from qra_jax.recipe import Recipe
from qra_jax.reward import verifiable
from qra_jax.sweep.axes import Axis
from qra_jax.training.api import METRICS
from qra_jax.trajectory import Status

Outputs = dict[str, Array]
GROUP_SIZE = "task.algorithm.group_size"
ATTRIBUTES = {
    "log_time": {"long_name": "log of learning rate × steps", "units": "1"},
    "log_cost": {"long_name": "log cost", "units": "1"},
    "status": {"long_name": "how it ended (0: ok)"},
    "accuracy": {"long_name": "accuracy", "units": "1"},
    "best": {"long_name": "share of the best pattern", "units": "1"},
    "entropy": {"long_name": "entropy of the pattern choice", "units": "nat"},
    "herfindahl": {"long_name": "sum of squared shares", "units": "1"},
    "kl": {"long_name": "KL divergence from the reference", "units": "nat"},
}


@dataclass(frozen=True)
class SweepTask:
    """One point of a sweep of named parts.

    Attributes:
      kind: one of [`KINDS`][].
      problem: plain data of the problem.
      settings: plain data of the rest.
      phases: plain data of a recipe's phases.
      paths: where each axis goes, by name.
      largest: the largest group size, where an axis of traced ones sets it.
    """

    kind: str
    problem: Any
    settings: Mapping[str, Any]
    phases: Sequence[Any]
    paths: Mapping[str, str]
    largest: int | None = None

    def __call__(self, key: Array, point: Mapping[str, Any]) -> Outputs:
        """Variables of one point."""
        problem, settings, key = self.build(key, point)
        return KINDS[self.kind](key, problem, settings)

    def build(self, key: Array, point: Mapping[str, Any]) -> tuple[Problem, dict[str, Any], Array]:
        """The problem, the arguments and the key of one point."""
        tree = {"problem": self.problem, "task": self.settings, "phase": self.phases}
        for name, path in sorted(
            self.paths.items(), key=lambda item: len(steps(item[1]))
        ):  # outer ones first
            tree = put(tree, steps(path), point[name], f"axis {name!r}: path {path!r}")
        key_problem, key = jax.random.split(key)
        problem = parts.problem(tree["problem"], key_problem)
        task = dict(tree["task"])
        size = None
        if self.largest is not None:
            size = task["algorithm"]["group_size"]
            task["algorithm"] = {**task["algorithm"], "group_size": self.largest}
        settings = {
            name: parts.READERS[name](value) if name in parts.READERS else value
            for name, value in task.items()
        }
        if size is not None:
            settings["algorithm"] = settings["algorithm"].with_group_size(size)
        if self.kind == "recipe":
            settings["recipe"] = Recipe.from_dict({"phase": tree["phase"]})
        return problem, settings, key

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics asked for."""
        return metrics(self.settings)

    @property
    def attributes(self) -> Mapping[str, Mapping[str, str]]:
        """Units and names of the variables."""
        return ATTRIBUTES

    @property
    def coords(self) -> dict[str, Any]:
        """Times at which a flow is looked at, or steps at which training is recorded."""
        if self.kind == "flow" and "ts" in self.settings:
            return {"time": self.settings["ts"]}
        steps, every = (self.settings.get(name) for name in ("steps", "record_every"))
        if self.kind == "train" and isinstance(steps, int) and isinstance(every, int) and every > 0:
            return {"step": list(range(0, steps + 1, every))}
        return {}

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dimension of time or of steps, of what is recorded."""
        return dict.fromkeys(self.names, tuple(self.coords)) if self.coords else {}


@dataclass(frozen=True)
class Pooled(SweepTask):
    """Hitting times, searched for many points at once, so that none waits for the slowest."""

    def pool(self, keys: Array, points: Mapping[str, Any], lanes: int) -> Outputs:
        """Variables of many points: a leading axis everywhere, a multiple of `lanes` long."""
        static = {}

        def build(each: tuple[Array, Mapping[str, Any]]) -> tuple[Any, ...]:
            problem, settings, _ = self.build(each[0], {**points, **each[1]})
            target = jnp.asarray(settings.pop("target", 0.99), problem.log_ref.dtype)
            static.update({name: settings.pop(name) for name in ("event", "geometry") if name in settings})
            return (
                problem,
                target,
                settings.get("algorithm") or reinforce(),
                settings.get("reward") or verifiable(),
            )

        traced = {name: value for name, value in points.items() if isinstance(value, jax.Array)}
        many = jax.lax.map(build, (keys, traced), batch_size=lanes)
        found = batch.pool(*many, lanes=lanes, **static)
        return {"log_time": found.log_time, "status": found.status}


def from_table(table: Mapping[str, Any], axes: Sequence[Axis]) -> SweepTask:
    """The task of a specification.

    Raises:
      ValueError: an unknown kind, key or path.
    """
    kind = _check.choice("kind", table.get("kind"), tuple(KINDS))
    problem, settings = table.get("problem"), table.get("task", {})
    if problem is None:
        raise ValueError("problem: missing; give a table [problem]")
    if not isinstance(problem, (str, Mapping)):
        raise ValueError(f"problem: {problem!r}; must be a name or a table")
    if not isinstance(settings, Mapping):
        raise ValueError(f"task: {settings!r}; must be a table")
    parts.check_keys("task", settings, ARGUMENTS[kind])
    phases = table.get("phase", [])
    if ("phase" in table) != (kind == "recipe"):
        raise ValueError(f"phase: kind {kind!r}; [[phase]] goes with kind 'recipe'")
    if not isinstance(phases, Sequence) or isinstance(phases, str):
        raise ValueError(f"phase: {phases!r}; must be a list of tables, [[phase]]")
    paths = {}
    for axis in axes:
        if axis.path is None and axis.seeds is None:
            raise ValueError(
                f"axis {axis.name!r}: path is missing; say what it sets, such as 'problem.gamma'"
            )
        if axis.path is not None:
            head = re.match(r"\w*", axis.path)
            path = axis.path if head and head[0] in ("problem", "task", "phase") else f"task.{axis.path}"
            if path.startswith("task."):
                parts.check_keys(f"axis {axis.name!r}: path", [str(steps(path)[1])], ARGUMENTS[kind])
            paths[axis.name] = path
    check_apart(paths)
    if any(path.startswith("task.off_policy.") for path in paths.values()):
        settings = {"off_policy": {}, **settings}
    return (Pooled if kind == "hit" else SweepTask)(
        kind, problem, settings, phases, paths, largest_group(axes, paths)
    )


def largest_group(axes: Sequence[Axis], paths: Mapping[str, str]) -> int | None:
    """The largest group size of an axis of traced ones; `None` where there is no such axis.

    Raises:
      ValueError: a size that is not a whole number, or a range.
    """
    for axis in axes:
        if paths.get(axis.name) == GROUP_SIZE and not axis.categorical:
            sizes = axis.numbers if not axis.ranged else axis.ends
            if axis.ranged or any(size < 1 or size % 1 for size in sizes):
                raise ValueError(
                    f"axis {axis.name!r}: {', '.join(f'{size:g}' for size in sizes)}; group sizes must be listed as "
                    "whole numbers, 1 or above"
                )
            return int(max(sizes))
    return None


def check_apart(paths: Mapping[str, str]) -> None:
    """Refuse axes of which one would undo what another sets.

    Raises:
      ValueError: equal paths, or two shares of one reference.

    >>> check_apart({"a": "task.target", "b": "task.target"})
    Traceback (most recent call last):
    ValueError: axis 'b': path 'task.target' is set by axis 'a', too
    """
    ways = {name: steps(path) for name, path in paths.items()}
    names = list(ways)
    for i, name in enumerate(names):
        for earlier in names[:i]:
            if ways[earlier] == ways[name]:
                raise ValueError(f"axis {name!r}: path {paths[name]!r} is set by axis {earlier!r}, too")
    shares = [name for name, way in ways.items() if way[:2] == ["problem", "ref"]]
    if len(shares) > 1:
        raise ValueError(
            f"axis {shares[1]!r}: path {paths[shares[1]]!r} would scale the share that axis {shares[0]!r} sets"
        )


def steps(path: str) -> list[str | int]:
    """The keys along a path.

    >>> steps("problem.ref[0]")
    ['problem', 'ref', 0]
    """
    if not re.fullmatch(r"\w+(\[\d+\])*(\.\w+(\[\d+\])*)*", path):
        raise ValueError(
            f"path: {path!r}; must be names with dots, and numbers in brackets, as in 'problem.ref[0]'"
        )
    return [int(one) if one.isdigit() else one for one in re.findall(r"\w+", path)]


def put(tree: Any, path: Sequence[str | int], value: Any, where: str) -> Any:
    """A copy of plain data with one entry set; a part given by its name becomes a table."""
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        if not isinstance(tree, Sequence) or isinstance(tree, str) or step >= len(tree):
            raise ValueError(f"{where}: there is no entry [{step}]")
        new = list(tree)
        new[step] = put(new[step], rest, value, where) if rest else value
        return new
    if isinstance(tree, str):
        tree = {"name": tree}
    if not isinstance(tree, Mapping) or (rest and step not in tree):
        raise ValueError(f"{where}: there is no {step!r}")
    if step == "ref" and len(rest) == 1 and isinstance(rest[0], int):
        ref = put(tree["ref"], rest, value, where)
        if not any(one for i, one in enumerate(tree["ref"]) if i != rest[0]):
            raise ValueError(f"{where}: ref = {tree['ref']}; another share must be above 0, to take the rest")
        return {**tree, "ref": share(ref, rest[0], tree["ref"])}
    return {**tree, step: put(tree[step], rest, value, where) if rest else value}


def share(ref: list[Any], chosen: int, before: Sequence[float]) -> list[Any]:
    """Shares of which one was set, the others scaled to what is left."""
    others = sum(before) - before[chosen]
    return [one if i == chosen else one * (1 - ref[chosen]) / others for i, one in enumerate(ref)]


def metrics(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the metrics asked for."""
    names = settings.get("metrics", ("accuracy", "best", "entropy"))
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, Sequence):
        raise ValueError(f"metrics: {names!r}; must be a list of names")
    parts.check_keys("metrics", names, METRICS)
    return tuple(names)


def _hit(key: Array, problem: Problem, settings: dict[str, Any]) -> Outputs:
    found = orbit.hit(problem, **settings)
    return {"log_time": found.log_time, "status": found.status}


def _train(key: Array, problem: Problem, settings: dict[str, Any]) -> Outputs:
    names = metrics(settings)
    if "steps" not in settings:
        raise ValueError("task: steps is missing; the number of training steps, 1 or above")
    options = {name: value for name, value in settings.items() if name != "metrics"}
    options.setdefault("record_every", settings["steps"] or 1)
    run = training.measure(names, key, problem, **options)
    recorded = "record_every" in settings
    return {
        **{name: run.values[name] if recorded else run.values[name][-1] for name in names},
        "status": run.status,
    }


def _flow(key: Array, problem: Problem, settings: dict[str, Any]) -> Outputs:
    names = metrics(settings)
    if "ts" not in settings:
        raise ValueError("task: ts is missing; the times to look at")
    run = flow.solve(problem, **{name: value for name, value in settings.items() if name != "metrics"})
    found = {name: jax.vmap(METRICS[name], (0, None))(run.log_policy, problem) for name in names}
    return {**found, "status": run.status}


def _recipe(key: Array, problem: Problem, settings: dict[str, Any]) -> Outputs:
    names = metrics(settings)
    options = {name: value for name, value in settings.items() if name not in ("metrics", "recipe")}
    run = settings["recipe"].run(problem, key=key, **options)
    found = {name: METRICS[name](run.log_policy, problem) for name in names}
    return {**found, "log_cost": run.log_cost, "status": Status.worst(run.status, axis=None)}


KINDS: dict[str, Callable[[Array, Problem, dict[str, Any]], Outputs]] = {
    "hit": _hit,
    "train": _train,
    "flow": _flow,
    "recipe": _recipe,
}
"""What is computed at a point, by name."""
ARGUMENTS = {
    "hit": ("target", "event", "algorithm", "reward", "geometry"),
    "train": (
        *("steps", "algorithm", "optimizer", "learning_rate", "reward", "regularizers", "geometry", "mode"),
        *("off_policy", "record_every", "metrics"),
    ),
    "flow": (
        *(
            "ts",
            "algorithm",
            "reward",
            "regularizers",
            "geometry",
            "event",
            "target",
            "stiff",
            "rtol",
            "atol",
        ),
        *("max_steps", "metrics"),
    ),
    "recipe": ("metrics", "max_steps", "stiff"),
}
"""Entries of `[task]`, by kind."""
