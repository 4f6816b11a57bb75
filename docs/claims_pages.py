"""What `mkdocs build` adds for the claims: a table to search, a page for each, contradictions; the long page beside."""

import os
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from qra_jax.claims import load
from qra_jax.claims.pages import site

RESULTS = "QRA_RESULTS"
"""Environment variable with a folder that `qra reproduce` wrote: its figures are shown on the pages of claims."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the site of the claims in `claims/`, as it is, and move the page with all of them in one out of its way."""
    long = files.get_file_from_path("claims.md")
    assert long is not None
    long.dest_uri = "all-claims/index.html"
    for path, content in site(load(), results=os.environ.get(RESULTS) or None, home="../index.html"):
        files.append(File.generated(config, f"claims/{path}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Link to the table, which only the site has, from the long page and in place of it from the overview."""
    if page.file.src_uri == "index.md":
        return markdown.replace("](claims.md)", "](claims/index.html)")
    if page.file.src_uri == "claims.md":
        links = (
            "[Search and sort them](claims/index.html), each with a page of its own, or see "
            "[which contradict each other](claims/contradictions.html)."
        )
        return markdown.replace("\n\n", f"\n\n{links}\n\n", 1)
    return markdown
