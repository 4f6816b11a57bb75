"""Fingerprints: what a kept result depends on, so that nothing stale is ever called finished.

A result depends on the functions that computed it: their code, what they read from their module, and every file of
the package that these import, followed to the end; and on the versions of the libraries. Comments, docstrings and
formatting are no part of it, nor is what only draws or words.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType
from typing import Any

import qra_jax
from qra_jax._identity import content

ROOT = Path(qra_jax.__file__).parent
LIBRARIES = (
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "diffrax",
    "equinox",
    "lineax",
    "optimistix",
    "optax",
    "flax",
)
"""Libraries whose versions are part of a fingerprint of data."""
WORDS = ("_plugins", "plot", "film", "registry", "studies.papers", "studies.lab")
"""Modules of the package that no number depends on."""
WHOLE = "qra_jax.*"
"""Stands for every module of the package but the studies."""
NUMBERS = ("studies.lab.arms", "studies.lab.store", "cli.session")
"""Modules among these on which all numbers depend."""
_seen: dict[Path, float] | None = None


def of_data(functions: Iterable[Callable[..., Any]], *settings: Any) -> str:
    """Fingerprint of what functions of a study compute.

    Args:
      functions: of one module.
      settings: anything else it depends on, as JSON data.

    Returns:
      Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for function in functions:
        module = sys.modules[function.__module__]
        if "<" in function.__qualname__:
            raise ValueError(
                f"function: {function.__qualname__}; must be a function of a module, not of another"
            )
        pieces, imports = _slice(Path(inspect.getfile(module)), function.__name__, module.__name__)
        imports |= {f"qra_jax.{name}" for name in NUMBERS}
        digest.update("\n".join(pieces).encode())
        digest.update((_closure(imports) + _beside(module.__name__)).encode())
    digest.update(json.dumps([versions(), *settings], sort_keys=True).encode())
    return digest.hexdigest()


def of_call(function: Callable[..., Any], args: Any, options: Mapping[str, Any]) -> str:
    """Fingerprint of a call: the function's, and its arguments'."""
    return of_data([function], content([args, dict(options)]))


def of_page(module: str) -> str:
    """Fingerprint of how a study words, judges and draws its data: its own file, and every file that this imports."""
    file = Path(inspect.getfile(sys.modules[module]))
    digest = hashlib.sha256(file.read_bytes() + (ROOT / "qra.mplstyle").read_bytes())
    digest.update(_closure(_imports(file, _modified(file)), counts=lambda name: True).encode())
    digest.update(_beside(module).encode())
    libraries = (*LIBRARIES, "matplotlib", "xarray")
    digest.update(json.dumps([metadata.version(name) for name in libraries]).encode())
    return digest.hexdigest()


def _beside(module: str) -> str:
    """Digests of the other files of the package that brings a study from outside of this one."""
    package = sys.modules.get(module.split(".")[0])
    if package is None or package is qra_jax or not hasattr(package, "__path__"):
        return ""
    own = Path(inspect.getfile(sys.modules[module]))
    found = {
        file.relative_to(folder).as_posix(): _digest(file, _modified(file))
        for folder in package.__path__
        for file in Path(folder).rglob("*.py")
        if file != own
    }
    return json.dumps(found, sort_keys=True)


def joined(prints: Mapping[str, str]) -> str:
    """One fingerprint of several."""
    return hashlib.sha256(json.dumps(dict(prints), sort_keys=True).encode()).hexdigest()


def of_folder(folder: Path | None) -> str:
    """Fingerprint of a folder of measured data."""
    if folder is None:
        return ""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    names = [file.relative_to(folder).as_posix().encode() for file in files]
    content = b"".join(n + hashlib.sha256(f.read_bytes()).digest() for n, f in zip(names, files, strict=True))
    return hashlib.sha256(content).hexdigest()


def versions() -> dict[str, str]:
    """Versions that numbers depend on."""
    import jax

    python = ".".join(platform.python_version_tuple()[:2])
    around = {"device": jax.default_backend(), "flags": os.environ.get("XLA_FLAGS", "")}
    return {"python": python, **around, **{name: metadata.version(name) for name in LIBRARIES}}


@functools.cache
def _source(file: Path, modified: float) -> str:
    return file.read_text(encoding="utf-8")


def freeze() -> None:
    """Let sources count as they are now, those that come later as they are at first: no edit reaches code that runs."""
    global _seen
    _seen = _seen or {}
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if name.startswith("qra_jax.") and file.is_file():
            modified = _modified(file)
            _digest(file, modified)
            _imports(file, modified)


def _modified(file: Path) -> float:
    if _seen is None:
        return file.stat().st_mtime
    if file not in _seen:
        _seen[file] = file.stat().st_mtime
    return _seen[file]


def _bare(tree: ast.Module) -> ast.Module:
    """A module without docstrings, those of constants and attributes among them, and without annotations."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            kept = [
                line
                for line in body
                if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
            node.body = kept or [ast.Pass()]  # pyright: ignore[reportAttributeAccessIssue]
    return tree


def _slice(file: Path, function: str, module: str) -> tuple[list[str], set[str]]:
    """The definitions of a module that a function needs, and the modules of the package that these use."""
    tree = _bare(ast.parse(_source(file, _modified(file))))
    defined: dict[str, list[ast.AST]] = {}
    imported: dict[str, set[str]] = {}
    changing: list[tuple[ast.AST, set[str]]] = []
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, targets in _bindings(node, module).items():
                imported[name] = targets
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.setdefault(node.name, []).append(node)
        else:
            names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            for name in {n.id for n in names if isinstance(n.ctx, ast.Store)}:
                defined.setdefault(name, []).append(node)
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            plain = isinstance(node, (ast.Assign, ast.AnnAssign)) and all(map(_is_plain, targets))
            if not plain and not _is_control(node):
                changing.append((node, {n.id for n in names if isinstance(n.ctx, ast.Load)}))
    # what is no plain assignment may change any object of the module that it names
    for node, names in changing:
        for name in names & set(defined):
            defined[name].append(node)
    if function not in defined:
        raise ValueError(f"function: {function} of {module}; must be defined at the top of its file {file}")
    todo, seen, pieces, modules = [function], set(), [], set()
    while todo:
        name = todo.pop()
        if name in seen or name == "study":
            continue
        seen.add(name)
        modules |= imported.get(name, set())
        for node in defined.get(name, ()):
            pieces.append(ast.dump(node))
            modules |= {t for inner in ast.walk(node) for t in _targets(inner, module)}
            todo += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return sorted(pieces), modules


def _is_control(node: ast.AST) -> bool:
    """Whether a statement adds a control to a claim: `claim.null("…")(…)`, which changes no data."""
    call = node.value if isinstance(node, ast.Expr) else None
    inner = call.func if isinstance(call, ast.Call) else None
    named = inner.func if isinstance(inner, ast.Call) else None
    return isinstance(named, ast.Attribute) and named.attr in ("null", "positive")


def _is_plain(target: ast.AST | None) -> bool:
    """Whether an assignment binds names, and changes no object."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_plain, target.elts))
    return isinstance(target, (ast.Name, ast.Starred))


def _bindings(node: ast.Import | ast.ImportFrom, module: str) -> dict[str, set[str]]:
    """Names that an import binds, and the modules of the package behind each."""
    out: dict[str, set[str]] = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == "qra_jax":
                out[alias.asname or "qra_jax"] = {alias.name if alias.asname and "." in alias.name else WHOLE}
        return out
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        base = ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])
    if base.split(".")[0] == "qra_jax":
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            outer = WHOLE if base == "qra_jax" else base
            out[alias.asname or alias.name] = {inner if _files(inner) else outer}
    return out


def _targets(node: ast.AST, module: str) -> set[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return set().union(*_bindings(node, module).values())
    return set()


def _files(target: str) -> list[Path]:
    """Files of a module of the package: of a package all of its modules; of the whole package all that computes."""
    if target == WHOLE:
        return [file for file in sorted(ROOT.rglob("*.py")) if "studies" not in file.parts[len(ROOT.parts) :]]
    parts = target.split(".")[1:]
    path = ROOT.joinpath(*parts)
    if not parts:
        return []
    if path.is_dir():
        return (
            sorted(path.rglob("*.py"))
            if len(parts) == 1 and parts[0] != "studies"
            else sorted(path.glob("*.py"))
        )
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else []


def _module(file: Path) -> str:
    if not file.is_relative_to(ROOT):  # a study of the user's own
        return file.stem
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _counts(module: str) -> bool:
    """Whether numbers depend on a module."""
    short = module.removeprefix("qra_jax").removeprefix(".")
    if not short or short == "studies":
        return False
    if any(short == name or short.startswith(name + ".") for name in NUMBERS):
        return True
    return not any(short == name or short.startswith(name + ".") for name in WORDS)


@functools.cache
def _imports(file: Path, modified: float) -> frozenset[str]:
    todo: list[Any] = [ast.parse(_source(file, modified))]
    inside = _module(file) + (".__init__" if file.name == "__init__.py" else "")
    out: set[str] = set()
    while todo:  # imports are statements: what is inside of expressions need not be looked at
        node = todo.pop()
        out |= _targets(node, inside)
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, part, None)
            todo += inner if isinstance(inner, list) else []
    return frozenset(out)


@functools.cache
def _digest(file: Path, modified: float) -> str:
    """Of what the file compiles to without docstrings: the same whatever its comments and line numbers."""
    code = compile(_source(file, modified), "", "exec", dont_inherit=True, optimize=2)
    return hashlib.sha256(repr(_plain(code)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Compiled code, and its constants, as plain data without places in the source."""
    if isinstance(value, CodeType):
        names = (value.co_name, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        constants = [_plain(constant) for constant in value.co_consts]
        if "__firstlineno__" in value.co_names:  # of a class, from Python 3.13 on
            constants.remove(value.co_firstlineno)
        return (value.co_code, value.co_exceptiontable, names, counts, constants)
    if isinstance(value, frozenset):
        return ("set", sorted(map(repr, value)))
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _closure(targets: Iterable[str], counts: Callable[[str], bool] = _counts) -> str:
    """Every file of the package that some modules import, followed to the end, as digests by name."""
    todo, seen = list(targets), set()
    files: dict[str, str] = {}
    while todo:
        target = todo.pop()
        if target in seen:
            continue
        seen.add(target)
        for file in _files(target):
            name = _module(file)
            if counts(name) and name not in files:
                files[name] = _digest(file, _modified(file))
                todo += list(_imports(file, _modified(file)))
    return json.dumps(files, sort_keys=True)
