"""Studies of the literature's claims: a file for each, in the folder of its subject.

A study is a module `studies/<subject>/<name>.py` that holds a [`Study`][qra_jax.studies.lab.Study] called
`study`. Files are found by looking; there is no list to add one to. Another folder of the same form, named by the
environment variable `QRA_STUDIES`, adds studies from outside the package; so do modules of installed packages that are
entry points of the group `qra_jax.studies`, called what `qra reproduce` calls the study.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from qra_jax import _check
from qra_jax._plugins import Plugins

ORDER = (
    "regimes",
    "clocks",
    "noise",
    "penalties",
    "sft",
    "questions",
    "networks",
    "weights",
    "credit",
    "data",
    "runs",
)
"""Subjects in the order of the report; others follow."""
OWN = "QRA_STUDIES"
"""Environment variable with a folder of further studies."""

__all__ = ["broken", "load", "names", "subjects"]


def _files() -> dict[str, Path]:
    """File of each study by name, in the order of the report."""
    here = Path(__file__).parent
    roots = [here, *([Path(os.environ[OWN])] if os.environ.get(OWN) else [])]
    folders = [folder for root in roots for folder in sorted(root.iterdir()) if folder.is_dir()]
    folders.sort(key=lambda folder: ORDER.index(folder.name) if folder.name in ORDER else len(ORDER))
    files = [file for folder in folders if folder != here / "lab" for file in sorted(folder.glob("[!_]*.py"))]
    return {file.stem.replace("_", "-"): file for file in files}


def _accept(name: str, module: Any) -> Any:
    """The study of a module of another package."""
    from qra_jax.studies.lab import Study

    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise TypeError("must name a module that holds a Study called study")
    if study.name != name:
        raise ValueError(f"called {study.name!r} by its module; must be the name of the entry point, too")
    return study


PLUGINS = Plugins(
    "study",
    "qra_jax.studies",
    _accept,
    lambda name: "the name is taken by another study" if name in _files() else "",
)
"""Studies of other packages, one an entry point; the subject is the package that holds the module."""


def _subjects() -> dict[str, str]:
    """Subject of each study by name, in the order of the report; loads none of them."""
    found = {name: file.parent.name for name, file in _files().items()}
    for name, (entry, *_) in PLUGINS.entries().items():
        found.setdefault(name, ["own", *entry.value.split(":")[0].split(".")][-2])
    place = {subject: number for number, subject in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda one: place.get(one[1], len(ORDER))))


def names(subject: str | None = None) -> tuple[str, ...]:
    """Names of all studies, or of those of one subject, in the order of the report.

    Args:
      subject: a folder of `qra_jax/studies/`, or a package of other studies; default: all of them.

    Raises:
      ValueError: there is no such subject.
    """
    if subject is not None:
        _check.choice("subject", subject, subjects())
    return tuple(name for name, of in _subjects().items() if subject in (None, of))


def subjects() -> tuple[str, ...]:
    """Subjects that have studies, in the order of the report."""
    return tuple(dict.fromkeys(_subjects().values()))


def broken(among: Iterable[str] | None = None) -> dict[str, str]:
    """Those of [`names`][] that another package brings and that cannot be used, with the reason in a line.

    Args:
      among: names to ask for, which loads no others; default: all of them.
    """
    own = _files()
    asked = PLUGINS if among is None else among
    return PLUGINS.broken(name for name in asked if name in PLUGINS and name not in own)


def load(name: str) -> Any:
    """The study of this name.

    Args:
      name: one of [`names`][], e.g. `"optimal-policy"`.

    Returns:
      The [`Study`][qra_jax.studies.lab.Study].

    Raises:
      ValueError: there is no such study, or another package brings it and it cannot be used.

    >>> load("optimal-policy").subject
    'regimes'
    """
    _check.choice("study", name, names())
    file = _files().get(name)
    if file is None:
        return PLUGINS.load(name)
    if file.is_relative_to(Path(__file__).parent):
        return importlib.import_module(f"{__name__}.{file.parent.name}.{file.stem}").study
    return _outside(file).study


def _outside(file: Path) -> ModuleType:
    """The module of a file outside the package."""
    module_name = f"own.{file.parent.name}.{file.stem}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[module_name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[module_name])
        except BaseException:
            del sys.modules[module_name]
            raise
    return sys.modules[module_name]
