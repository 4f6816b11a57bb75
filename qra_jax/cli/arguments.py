"""From words to a command: names and numbers are checked here, so that complaints are one line; needs no JAX."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import operator
import sys
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from qra_jax.cli.commands import CLAIMS, COMMANDS, SWEEPS, Command

NESTED: dict[str, dict[str, Any]] = {"sweep": SWEEPS, "claims": CLAIMS}
"""What comes behind the commands that have commands of their own."""
_FLAGS = (tyro.conf.FlagCreatePairsOff,)
_POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
_FRAME = " │╭╮╰╯─"
"""Characters of the boxes that the parser draws."""
_ABOUT = "Simulate the theory of RL post-training. More of a command: qra COMMAND --help; the version: qra --version."


def parse(argv: Sequence[str]) -> Command:
    """The command that is asked for; needs no JAX.

    Args:
      argv: words behind `qra`.

    Returns:
      One of the commands, with its arguments.

    Raises:
      ValueError: an unknown, missing or malformed argument.
      SystemExit: help was asked for and printed.
    """
    name, words = (argv[0], list(argv[1:])) if argv else ("--help", [])
    if name not in COMMANDS:
        if name not in ("-h", "--help"):
            what, known = (
                ("option", ["--help", "--version"]) if name.startswith("-") else ("command", COMMANDS)
            )
            raise ValueError(unknown(what, name, known, "qra --help"))
        listed = (
            Annotated[form, subcommand(name, description=text)] for name, (form, text) in COMMANDS.items()
        )
        any_of: Any = functools.reduce(operator.or_, listed)
        return tyro.cli(any_of, prog="qra", description=_ABOUT, args=["--help"], config=_FLAGS)
    if name == "sweep" and words and words[0] not in (*SWEEPS, "-h", "--help"):
        if difflib.get_close_matches(words[0], SWEEPS, 1) and not Path(words[0]).exists():
            known = [f"sweep {one}" for one in SWEEPS]
            raise ValueError(unknown("command", f"sweep {words[0]}", known, "qra sweep --help"))
        words = ["run", *words]
    within = NESTED.get(name, {})
    if name == "claims" and (not words or words[0] not in (*within, "-h", "--help")):
        if words:
            known = [f"claims {one}" for one in within]
            raise ValueError(unknown("command", f"claims {words[0]}", known, "qra claims --help"))
        words = ["--help"]
    (form, summary), called = COMMANDS[name], f"qra {name}"
    nested = bool(words) and words[0] in within
    words = as_usual(words) if name == "advise" else words
    asks = not {"-h", "--help"}.isdisjoint(words)
    stderr = io.StringIO()
    try:
        if nested:
            called = f"{called} {words[0]}"
        if not asks and (nested or not within):
            check(within[words[0]] if nested else form, words[nested:])
        with contextlib.redirect_stderr(stderr):
            about = summary if within else None  # the others have a docstring
            return tyro.cli(form, prog=f"qra {name}", description=about, args=words, config=_FLAGS)
    except SystemExit as stop:
        if not stop.code:
            raise
        complaint = _unframed(stderr.getvalue())
    except ValueError as error:
        complaint = str(error)
    raise ValueError(f"{complaint} (see {called} --help)")


USUAL = {
    "num-generations": "group-size",
    "rollouts-per-prompt": "group-size",
    "n-samples-per-prompt": "group-size",
    "kl-coef": "beta",
    "kl-loss-coef": "beta",
    "max-steps": "steps",
    "total-steps": "steps",
    "epsilon-high": "clip-high",
    "clip-ratio-low": "clip-low",
    "clip-ratio-high": "clip-high",
    "num-iterations": "epochs",
    "ppo-epochs": "epochs",
    "learning-rate": "lr",
    "actor-lr": "lr",
    "train-batch-size": "batch-prompts",
    "rollout-batch-size": "batch-prompts",
    "entropy-coeff": "entropy-bonus",
    "log": "from",
}
"""Options by the names that trainers give them."""


BOTH = ("epsilon", "clip-ratio", "cliprange", "eps-clip")
"""What trainers call a clip of both sides."""


def as_usual(words: Sequence[str]) -> list[str]:
    """Arguments of `qra advise` with the names of options that trainers use put in the package's.

    >>> as_usual(["--num-generations", "8", "--epsilon", ".2"])
    ['--group-size', '8', '--clip-low', '.2', '--clip-high', '.2']
    """
    found: list[str] = []
    rest = list(words)
    high = any(
        word.partition("=")[0] in ("--clip-high", "--epsilon-high", "--clip-ratio-high") for word in rest
    )
    while rest:
        word = rest.pop(0)
        flag, sign, value = word.removeprefix("--").partition("=")
        flag = flag.replace("_", "-")
        if word.startswith("--") and flag in BOTH:
            values = [value] if sign else [rest.pop(0)] if rest else []
            for own in ("clip-low", *["clip-high"] * (not high)):
                found += [f"--{own}", *values]
            continue
        own = USUAL.get(flag) if word.startswith("--") else None
        found.append(f"--{own}{sign}{value}" if own else word)
    return found


def check(form: type, words: Sequence[str]) -> None:
    """Refuse options that are not there, arguments that are missing, and text in place of numbers.

    Args:
      form: the class of a command.
      words: its arguments.

    Raises:
      ValueError: in one line, which argument and what is wrong.
    """
    hints, extras = typing.get_type_hints(form), typing.get_type_hints(form, include_extras=True)
    fields = {typed(one.name): one for one in dataclasses.fields(form)}
    places = [
        name for name, one in fields.items() if _POSITIONAL in getattr(extras[one.name], "__metadata__", ())
    ]
    flags = [name for name in fields if name not in places]
    values: dict[str, list[str]] = {}
    strange, loose, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            loose.append(word)
            continue
        flag, sign, value = word[2:].partition("=")
        flag = flag.replace("_", "-")
        if flag not in flags:
            strange.append(f"--{flag}")
            while rest and not rest[0].startswith("--"):  # its values, most likely
                rest.pop(0)
            continue
        values[flag] = [value] if sign else []
        while rest and len(values[flag]) < _most(hints[fields[flag].name]) and not rest[0].startswith("--"):
            values[flag].append(rest.pop(0))
    for place in places:
        count = min(len(loose), _most(hints[fields[place].name]))
        if count:
            values[place], loose = loose[:count], loose[count:]
    strange += loose
    if strange:
        near = [
            f"--{one}" for name in strange for one in difflib.get_close_matches(name.strip("-"), flags, 1)
        ]
        raise ValueError(
            f"unknown: {', '.join(strange)}" + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    required = [
        name for name, one in fields.items() if one.default is dataclasses.MISSING and name not in values
    ]
    if required:
        spelled = [name.upper() if name in places else f"--{name}" for name in required]
        raise ValueError(f"missing: {', '.join(spelled)}")
    for name, given in values.items():
        kinds = _kinds(hints[fields[name].name])
        if len(given) < _least(hints[fields[name].name]):
            raise ValueError(
                f"{name}: {' '.join(given) or 'no value'}; must have {_least(hints[fields[name].name])}"
            )
        for text in given:
            if int in kinds and not _reads_as(int, text):
                raise ValueError(f"{name}: {text!r} is not a whole number")
            if float in kinds and not _reads_as(float, text):
                raise ValueError(f"{name}: {text!r} is not a number")


def unknown(what: str, given: str, known: Iterable[str], where: str) -> str:
    """A complaint about a name that is none of those known: the one that it resembles, or else all of them.

    >>> unknown("command", "slove", ["solve", "fit"], "qra --help")
    "command: 'slove'; did you mean 'solve'? (see qra --help)"
    """
    known = list(known)
    near = [one for one in known if one.startswith(given)][:1] or difflib.get_close_matches(given, known, 1)
    if near:
        return f"{what}: {given!r}; did you mean {near[0]!r}? (see {where})"
    return f"{what}: {given!r}; must be one of {', '.join(map(repr, known))}"


def options(form: Any) -> list[str]:
    """Names of a command's arguments, as they are typed."""
    return [typed(one.name) for one in dataclasses.fields(form)]


def typed(name: str) -> str:
    """An argument as it is typed: a word of Python has a line behind it in the code.

    >>> typed("group_size"), typed("from_")
    ('group-size', 'from')
    """
    return name.rstrip("_").replace("_", "-")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types a value may have: those of a union or of the members of a tuple."""
    return tuple(kind for kind in typing.get_args(hint) if kind not in (NoneType, ...)) or (hint,)


def _most(hint: Any) -> int:
    """How many words an argument may take."""
    if typing.get_origin(hint) is tuple:
        kinds = typing.get_args(hint)
        return sys.maxsize if ... in kinds else len(kinds)
    return 0 if hint is bool else 1


def _least(hint: Any) -> int:
    """How many words an argument must have."""
    most = _most(hint)
    return 0 if most == sys.maxsize else most


def _reads_as(kind: Any, text: str) -> bool:
    with contextlib.suppress(ValueError):
        kind(text)
        return True
    return False


def _unframed(text: str) -> str:
    """The text of the parser's box up to the line that parts off its hints, without its title."""
    rows = text.splitlines()[1:]
    last = next((i for i, row in enumerate(rows) if not row.strip(_FRAME)), len(rows))
    return " ".join(row.strip(_FRAME) for row in rows[:last])
