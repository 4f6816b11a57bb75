"""`qra explore`: the explorer in a browser."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from qra_jax import _nested_files

CELL = """\
import jax

jax.config.update("jax_enable_x64", True)

from qra_jax.explorer.widget import Explorer

Explorer()
"""
"""What the notebook of the explorer runs."""
TREE_CELL = """\
import jax

jax.config.update("jax_enable_x64", True)

from qra_jax.explorer.trees import TreeExplorer
from qra_jax.tree.file import load

TreeExplorer(load({path!r}))
"""
"""What it runs for a tree."""
SERVERS = {"voila": "voila", "lab": "jupyterlab"}
"""What can serve it, and the module it needs: Voilà shows the explorer alone, JupyterLab its notebook."""


def command(server: str | None, port: int, browser: bool, folder: Path, tree: str | None = None) -> list[str]:
    """Write the explorer's notebook, and say how to serve it.

    Args:
      server: a name out of `SERVERS`; by default the first one that is installed.
      port: of the local server.
      browser: also open a browser.
      folder: where the notebook goes.
      tree: file of a tree to step through.

    Returns:
      Words of a command line.

    Raises:
      ValueError: an unknown server, or none installed; a port that is none, or taken; a file without a tree.
    """
    if tree is not None:
        _nested_files.read(tree)
    if not 1 <= port <= 65535:
        raise ValueError(f"port: {port}; must be from 1 to 65535")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"port: {port} is in use; must be a free one")
    there = [name for name, module in SERVERS.items() if importlib.util.find_spec(module) is not None]
    if server is not None and server not in SERVERS:
        raise ValueError(f"server: {server!r}; must be one of {', '.join(map(repr, SERVERS))}")
    if not there or (server is not None and server not in there):
        wanted = " or ".join(SERVERS.values()) if server is None else SERVERS[server]
        raise ValueError(f"server: {wanted} is not installed; pip install 'qra-jax[notebooks]'")
    server = server or there[0]
    shared = [str(write(folder, tree)), f"--port={port}", *([] if browser else ["--no-browser"])]
    if server == "voila":
        print(
            f"http://localhost:{port}/ (the first start compiles for half a minute; Ctrl-C ends it)",
            flush=True,
        )
        return [sys.executable, "-m", "voila", *shared, "--theme=light", "--Voila.log_level=ERROR"]
    return [sys.executable, "-m", "jupyterlab", *shared]


def serve(words: list[str], cache: Path | None, least: float) -> int:
    """Run a server until it ends, or until this process is asked to end; it never outlives this one.

    Args:
      words: its command line.
      cache: folder for compiled programs, so that only the first start compiles; the user's own where `None`.
      least: seconds of compiling from which a program is kept.

    Returns:
      Its exit status; 130 where it was interrupted.
    """
    environment = dict(os.environ)
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(least)
    usual = signal.signal(signal.SIGTERM, _interrupt)
    server = subprocess.Popen(words, env=environment)
    try:
        return server.wait()
    finally:
        signal.signal(signal.SIGTERM, usual)
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def write(folder: Path, tree: str | None = None) -> Path:
    """Write the explorer's notebook into a folder.

    Args:
      folder: where to.
      tree: file of a tree to step through.

    Returns:
      The file.
    """
    import nbformat

    cell = CELL if tree is None else TREE_CELL.format(path=str(Path(tree).resolve()))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = folder / "explorer.ipynb"
    nbformat.write(notebook, path)
    return path
