"""What `mkdocs build` adds to the pages of docs/: README, benchmarks, notebooks, and one for each public module."""

import re
from html import unescape
from pathlib import Path

import griffe
import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import qra_jax

ROOT = Path(__file__).parent.parent
MODULES = [*qra_jax._MODULES, "studies.lab", "sweep.executors", "explorer", "explorer.widget"]
MODULES += [
    f"consult.{name}"
    for name in (
        "diagnosis",
        "hyperparameters",
        "advice",
        "failures",
        "examination",
        "vitals",
        "course",
        "outlook",
        "pace",
        "rates",
    )
]
MODULES += [f"consult.{name}" for name in ("tree_diagnosis", "tree_report")] + ["explorer.trees"]
MODULES += [
    f"tree.{name}"
    for name in (
        "model",
        "shape",
        "values",
        "instances",
        "credit",
        "paid",
        "training",
        "result",
        "solver",
        "moments",
        "restarts",
    )
]
MODULES += ["tree.file", "tree.picture", "tree.panels"]
MODULES += [
    f"transformer.{name}"
    for name in (
        "graphs",
        "formats",
        "hints",
        "segments",
        "streams",
        "stages",
        "ledger",
        "teaching",
        "process",
    )
]
MODULES += ["fit.runs", "fit.runs.signals", "fit.shares", "fit.watch"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the modules to the table of contents."""
    assert config.nav is not None
    config.nav.append({"API": [{f"qra_jax.{name}": f"api/{name}.md"} for name in sorted(MODULES)]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and what they link to."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {"index.md": readme.replace("](docs/", "](").replace("[notebooks](notebooks)", "notebooks")}
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        pages[name] = text.replace("`docs/extending.md`", "[docs/extending.md](extending.md)")
    pages["benchmarks/README.md"] = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    pages |= {f"api/{name}.md": f"# qra_jax.{name}\n\n::: qra_jax.{name}\n" for name in MODULES}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links out of docs/ in the repository lead to the pages that are generated here."""
    return re.sub(r"\]\(\.\./(notebooks/|benchmarks/README\.md|CONTRIBUTING\.md)", r"](\1", markdown)


def on_page_content(html: str, **_: object) -> str:
    """Set formulas as MathML, which browsers show without a script."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match["open"] == "[" else "inline"
        return latex2mathml.converter.convert(unescape(match["tex"]).strip(), display=display)

    formulas = r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[\[(])(?P<tex>.*?)\\[\])]</(?P=tag)>'
    return re.sub(formulas, formula, html, flags=re.S)


class Docstrings(griffe.Extension):
    """Docstrings as Markdown: examples are fenced, so that nothing in them is read as markup."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Fence every run of lines that begins with a prompt and ends with an empty one.

        The meaning that a member of an enumeration is defined with, as `OK = 0, "…"`, is its docstring.
        """
        if obj.is_attribute and obj.docstring is None:
            meaning = re.fullmatch(r"\(?\d+, (['\"])(.*)\1\)?", str(getattr(obj, "value", "")))
            if meaning:
                obj.docstring = griffe.Docstring(meaning[2], parent=obj)
        if obj.docstring is not None:
            text = obj.docstring.value
            example = r"^>>> .*?(?=\n\n|\Z)"
            obj.docstring.value = re.sub(example, r"```pycon\n\g<0>\n```", text, flags=re.M | re.S)
