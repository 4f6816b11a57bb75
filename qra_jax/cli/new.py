"""`qra new`: a small package that adds a study, an algorithm or a reader, with its own tests, ready to be changed."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

import qra_jax

TEMPLATES = Path(qra_jax.__file__).parent / "scaffold"
"""A folder a kind: the files of its package, with `.tmpl` behind their names and `module` for the package's."""
KINDS = {
    "study": ("A study", "qra_jax.studies", "{module}.{module}"),
    "algorithm": ("An algorithm", "qra_jax.algorithms", "{module}:{module}"),
    "reader": ("A reader of log files", "qra_jax.readers", "{module}:Reader"),
}
"""What is made, the group of its entry point, and what that names."""


def write(kind: str, name: str, out: Path) -> list[Path]:
    """Write a package into `out/name`.

    Args:
      kind: `"study"`, `"algorithm"` or `"reader"`.
      name: of the package: lower-case letters and digits, with `-` or `_` between them.
      out: folder to write into; made if it is not there.

    Returns:
      The files.

    Raises:
      ValueError: another kind, a name that is malformed or taken, or a folder that is there already.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r}; must be one of {', '.join(map(repr, KINDS))}")
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise ValueError(
            f"name: {name!r}; must be lower-case letters and digits, with - or _ between words, and no word of Python"
        )
    if (out / name).exists():
        raise ValueError(
            f"name: {str(out / name)!r} is there already; must be another name, or another --out"
        )
    entry = module.replace("_", "-") if kind == "study" else module
    if by := _taken(kind, entry, module):
        raise ValueError(f"name: {name!r} is taken by {by}; must be another name")
    what, group, value = KINDS[kind]
    words = {"name": name, "module": module, "entry": entry, "what": what, "group": group}
    words |= {"value": value.format(module=module), "version": qra_jax.__version__}
    written = []
    for file in [TEMPLATES / "pyproject.toml.tmpl", *sorted((TEMPLATES / kind).rglob("*.tmpl"))]:
        inside = file.relative_to(file.parent if file.parent == TEMPLATES else TEMPLATES / kind)
        path = out / name / inside.as_posix().replace("module", module).removesuffix(".tmpl")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Template(file.read_text(encoding="utf-8")).substitute(words)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _taken(kind: str, entry: str, module: str) -> str:
    """Whose a name is already; empty if nobody's."""
    if kind == "study":
        from qra_jax import studies

        if entry in studies.names():
            return "a study"
    if kind == "algorithm" and hasattr(qra_jax, entry):
        return f"qra_jax.{entry}"
    if kind == "algorithm" and entry in ("qra", "jnp"):
        return "what its own module imports"
    if module == "tests" or importlib.util.find_spec(module) is not None:
        return f"the module {module}"
    return ""
