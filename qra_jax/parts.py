"""Parts by name: problems, algorithms, rewards, regularizers and optimisers as plain data, both ways.

A part is written as its name, or as a table of the name and the arguments of its factory:
`"rloo"`, `{name = "grpo", group_size = 8}`, `{name = "reverse_kl", beta = 0.01}`. What is done off-policy is a table
without a name, `{clip = [0.2, 0.28], epochs = 4}`. Numbers may be traced.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import jax
import numpy as np
import optax
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

from qra_jax import problem as _problem, registry
from qra_jax.algorithm import Algorithm
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.regularizer import Reference, Regularizer
from qra_jax.reward import Reward
from qra_jax.shaping import several as _several  # noqa: F401  (enters the shaped rewards)

Spec = str | Mapping[str, Any]
Factories = Mapping[str, Callable[..., Any]]


ALGORITHMS: Factories = registry.ALGORITHMS
REWARDS: Factories = registry.REWARDS
REGULARIZERS: Factories = registry.REGULARIZERS
OPTIMIZERS: Factories = {
    name: getattr(optax, name)
    for name in ("sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "sign_sgd", "nadam", "adabelief")
}
INSTANCES: Factories = {
    "worked": _problem.examples.worked,
    "fast": _problem.examples.fast,
    "entangled": _problem.examples.entangled,
    "random": _problem.random,
    "internal_feedback": _problem.examples.internal_feedback,
}


def check_keys(where: str, found: Collection[str], allowed: Collection[str]) -> None:
    """Reject names that nothing is known by, with the nearest one that is.

    Args:
      where: what is being read.
      found: names there.
      allowed: names known.

    Raises:
      ValueError: a name is not known.

    >>> check_keys("axis", ["valeus"], ["name", "values"])
    Traceback (most recent call last):
    ValueError: axis: 'valeus' is not known; did you mean 'values'?
    """
    for name in found:
        if name not in allowed:
            near = difflib.get_close_matches(str(name), list(allowed), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"must be one of {', '.join(sorted(allowed))}"
            raise ValueError(f"{where}: {name!r} is not known; {hint}")


def problem(spec: Spec, key: Any = None) -> Problem:
    """A problem from plain data.

    Args:
      spec: a table with `ref` and `success` (or `answers`), or with the name of a family and its arguments:
        `"worked"`, `{name = "entangled", gamma = 6}`, `{name = "random", patterns = 10}`.
      key: PRNG key, for the random families.

    Returns:
      A `Problem`.

    Raises:
      ValueError: unknown or missing keys, numbers out of range, or no key for a random family.

    >>> problem({"name": "entangled", "gamma": 6}).patterns
    3
    """
    if isinstance(spec, str) or "name" in spec:
        name, arguments = _name("problem", spec, INSTANCES)
        if "key" in inspect.signature(INSTANCES[name]).parameters:
            check_keys(
                f"problem {name!r}", arguments, {*inspect.signature(INSTANCES[name]).parameters} - {"key"}
            )
            if key is None:
                raise ValueError(f"problem: {name!r} is random and needs a key")
            if isinstance(arguments.get("success"), list):  # Beta(a, b), not rates
                arguments["success"] = tuple(arguments["success"])
            arguments["key"] = key
        return _call("problem", INSTANCES, name, arguments)
    check_keys("problem", spec, ("ref", "success", "answers", "name"))
    if "ref" not in spec:
        raise ValueError("problem: ref is missing; give ref and success, or name")
    stacked = {key: _stacked(value) for key, value in spec.items()}
    return Problem.from_probs(**stacked)


def algorithm(spec: Spec) -> Algorithm:
    """An algorithm from plain data, e.g. `{name = "grpo", group_size = 8}`.

    Args:
      spec: name, or table of `name` and arguments of the factory.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: an unknown name or key, or an argument out of range.
    """
    return _build("algorithm", spec, ALGORITHMS)


def reward(spec: Spec) -> Reward:
    """A reward from plain data, e.g. `{name = "verifiable", tpr = .9, fpr = .1}`; see [`algorithm`][].

    A reward of another reward holds a table of its own: `{name = "kl_in_reward", beta = .1, reward = "verifiable"}`;
    one of several holds a list of them.
    """
    name, arguments = _name("reward", spec, REWARDS)
    if isinstance(arguments.get("reward"), (str, Mapping)):
        arguments["reward"] = reward(arguments["reward"])
    if isinstance(arguments.get("rewards"), list):
        arguments["rewards"] = [reward(one) for one in arguments["rewards"]]
    return _call("reward", REWARDS, name, arguments)


def regularizers(specs: Spec | Sequence[Spec]) -> tuple[Regularizer, ...]:
    """Regularizers from a list of plain data, e.g. `[{name = "reverse_kl", beta = .01}]`; see [`algorithm`][].

    How the reference moves is a table of its own: `{name = "k2_loss", beta = .1, reference = {every = 100}}`.
    """
    several = [specs] if isinstance(specs, (str, Mapping)) else specs
    if not isinstance(several, Sequence):
        raise ValueError(f"regularizers: {several!r}; must be a list of tables")
    return tuple(_regularizer(spec) for spec in several)


def _regularizer(spec: Spec) -> Regularizer:
    name, arguments = _name("regularizers", spec, REGULARIZERS)
    if isinstance(arguments.get("reference"), Mapping):
        arguments["reference"] = _settings(
            f"regularizers {name!r}: reference", Reference, arguments["reference"]
        )
    return _call("regularizers", REGULARIZERS, name, arguments)


def off_policy(table: Mapping[str, Any]) -> OffPolicy:
    """What is done off-policy from plain data, e.g. `{clip = [.2, .28], epochs = 4, staleness = 3}`.

    Args:
      table: attributes of an [`OffPolicy`][qra_jax.off_policy.OffPolicy]; pairs are lists.

    Returns:
      An `OffPolicy`.

    Raises:
      ValueError: an unknown key, or a value out of range.

    >>> off_policy({"clip": [0.2, 0.28], "epochs": 4})
    OffPolicy(clip = (0.2, 0.28), epochs = 4)
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"off_policy: {table!r}; must be a table, such as {{clip = 0.2, epochs = 4}}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    if isinstance(table.get("behavior"), list):
        given["behavior"] = jax.numpy.asarray(table["behavior"])
    return _settings("off_policy", OffPolicy, given)


def optimizer(spec: Spec) -> Callable[[Any], optax.GradientTransformation]:
    """A function of the learning rate that makes an optax optimiser, e.g. `{name = "adam", b1 = .9}`.

    Args:
      spec: name of the optax function, or table of `name` and its arguments but for the learning rate.

    Returns:
      `learning_rate -> optimiser`; equal plain data give the very same function, so nothing is compiled again.

    Raises:
      ValueError: an unknown name or key, or a learning rate among the arguments.
    """
    name, arguments = _name("optimizer", spec, OPTIMIZERS)
    known = [key for key in inspect.signature(OPTIMIZERS[name]).parameters if key != "learning_rate"]
    check_keys(f"optimizer {name!r}", arguments, known)
    for key, value in arguments.items():
        if isinstance(value, (str, Sequence, Mapping)):
            raise ValueError(f"optimizer {name!r}: {key} {value!r}; must be a number")
    if not arguments:
        return OPTIMIZERS[name]
    if any(isinstance(value, (Tracer, jax.Array)) for value in arguments.values()):
        return lambda rate: OPTIMIZERS[name](rate, **arguments)
    settings = tuple(sorted(arguments.items()))
    return _OPTIMIZERS.setdefault((name, settings), lambda rate: OPTIMIZERS[name](rate, **arguments))


READERS: Mapping[str, Callable[[Any], Any]] = {
    "algorithm": algorithm,
    "reward": reward,
    "regularizers": regularizers,
    "optimizer": optimizer,
    "off_policy": off_policy,
}
"""What builds each entry of a table of settings that is a part; the others are values."""

_OPTIMIZERS: dict[Any, Callable[[Any], optax.GradientTransformation]] = {}


def describe(part: Any) -> dict[str, Any]:
    """The plain data of a part, from which it can be built again.

    Args:
      part: a `Problem`, `Algorithm`, `Reward`, `Regularizer`, `OffPolicy`, or an optimiser of [`optimizer`][].

    Returns:
      A table; its numbers are Python's own.

    Raises:
      ValueError: a part that was not made by a factory of a registry, that was changed since in what its factory does
        not take, or that holds traced numbers.

    >>> describe(algorithm({"name": "grpo", "group_size": 8}))
    {'name': 'grpo', 'group_size': 8}
    """
    if isinstance(part, Problem):
        table = {"ref": part.ref, "success": part.success, "answers": part.answers}
        return {name: plain(value) for name, value in table.items() if value is not None}
    if isinstance(part, (Algorithm, Reward, Regularizer)):
        return _describe_made(part)
    if isinstance(part, (OffPolicy, Reference)):
        return _describe_settings(part)
    for name, factory in OPTIMIZERS.items():
        if part is factory:
            return {"name": name}
    for (name, settings), made in _OPTIMIZERS.items():
        if part is made:
            return {"name": name, **dict(settings)}
    raise ValueError(f"{getattr(part, 'name', part)!r}: not made by this package, so it has no plain data")


def plain(value: Any) -> Any:
    """An array as Python numbers.

    Args:
      value: array, number, or anything else.

    Returns:
      Lists and numbers; what is no array as it is.

    Raises:
      ValueError: the value is traced.
    """
    if isinstance(value, Tracer):
        raise ValueError("a traced number has no plain data; describe parts outside jit, vmap and grad")
    return np.asarray(value).tolist() if isinstance(value, (jax.Array, np.ndarray, np.generic)) else value


def _describe_made(part: Algorithm | Reward | Regularizer) -> dict[str, Any]:
    """Name and arguments of the factory that made a part, with the parameters that it has now."""
    if part.made is None:
        raise ValueError(f"{part.name!r}: not made by this package, so it has no plain data")
    name, arguments = part.made
    factories = {Algorithm: ALGORITHMS, Reward: REWARDS, Regularizer: REGULARIZERS}[type(part)]
    known = inspect.signature(factories[name]).parameters
    table = {key: value for key, value in arguments.items() if value is not None}
    for key in known:
        if key not in part.params:
            continue
        value = part.params[key]
        if isinstance(value, Reward):
            table[key] = describe(value)
        elif key == "rewards":
            table[key] = [describe(one) for one in value]
        elif isinstance(value, list):
            table[key] = [plain(one) for one in value]
        elif key in arguments or plain(value) != known[key].default:
            number = plain(value)
            whole = isinstance(arguments.get(key, known[key].default), int) and float(number).is_integer()
            table[key] = int(number) if whole else number
    if isinstance(part, Algorithm):
        if part.size is not None:
            raise ValueError(f"{part.name!r}: its group size is an array, so it has no plain data")
        table.pop("group_size", None)
        if part.group_size is not None:
            table["group_size"] = part.group_size
    if isinstance(part, Regularizer) and part.reference is not None:
        table["reference"] = describe(part.reference)
    table = {"name": name, **table}
    read = {Algorithm: algorithm, Reward: reward, Regularizer: _regularizer}[type(part)]
    try:
        again = read(table)
    except ValueError:
        again = None
    if again is None or not _same(part, again):
        raise ValueError(f"{part.name!r}: changed since it was made, so it has no plain data")
    return table


def _describe_settings(part: OffPolicy | Reference) -> dict[str, Any]:
    """The attributes of an object of settings that are not the default."""
    table = {}
    for one in fields(part):
        value = getattr(part, one.name)
        value = [plain(each) for each in value] if isinstance(value, tuple) else plain(value)
        usual = list(one.default) if isinstance(one.default, tuple) else one.default
        if value != usual:
            table[one.name] = value
    return table


def _same(one: Any, other: Any) -> bool:
    """Whether two parts compute the same: equal functions and static data, and equal numbers."""
    (leaves, kind), (others, other_kind) = jax.tree.flatten(one), jax.tree.flatten(other)
    return kind == other_kind and all(map(np.array_equal, leaves, others))


def _settings(where: str, kind: Any, table: Mapping[str, Any]) -> Any:
    """An object of settings from a table of its attributes."""
    check_keys(where, table, [one.name for one in fields(kind)])
    try:
        return kind(**table)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


def _build(where: str, spec: Spec, factories: Factories) -> Any:
    name, arguments = _name(where, spec, factories)
    return _call(where, factories, name, arguments)


def _name(where: str, spec: Spec, factories: Factories) -> tuple[str, dict[str, Any]]:
    """The name in a spec, and the rest of it."""
    if not isinstance(spec, (str, Mapping)):
        raise ValueError(f"{where}: {spec!r}; must be a name or a table with a name")
    if not isinstance(spec, str) and "name" not in spec:
        raise ValueError(f"{where}: name is missing; must be one of {', '.join(factories)}")
    arguments = {} if isinstance(spec, str) else {key: spec[key] for key in spec if key != "name"}
    name = spec if isinstance(spec, str) else spec["name"]
    if not isinstance(name, str):
        raise ValueError(f"{where}: name {name!r}; must be a name")
    check_keys(where, [name], factories)
    return name, arguments


def _call(where: str, factories: Factories, name: str, arguments: Mapping[str, Any]) -> Any:
    signature = inspect.signature(factories[name])
    check_keys(f"{where} {name!r}", arguments, signature.parameters)
    for key, parameter in signature.parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"{where} {name!r}: {key} is missing")
    try:
        return factories[name](**arguments)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} {name!r}: {error}") from None


def _stacked(value: Any) -> Any:
    """A list in which some number is traced, as an array."""
    leaves = jax.tree.leaves(value)
    return (
        jax.numpy.asarray(value) if any(isinstance(leaf, (Tracer, jax.Array)) for leaf in leaves) else value
    )
