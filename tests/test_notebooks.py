"""Notebooks: what is stored is what their scripts say, with outputs; and they run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from qra_jax._programs import flags

FOLDER = Path(__file__).parent.parent / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
RUN = """
import sys, jupytext, nbclient
nbclient.NotebookClient(jupytext.read(sys.argv[1]), timeout=600, kernel_name="python3").execute()
"""

each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def test_there_is_a_notebook_for_each_script():
    assert {script.stem for script in SCRIPTS} == {stored.stem for stored in FOLDER.glob("*.ipynb")}
    assert len(SCRIPTS) >= 8


@each
def test_what_is_stored_is_the_script_with_its_outputs(script):
    stored = json.loads(script.with_suffix(".ipynb").read_text())
    cells = jupytext.read(script).cells
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in stored["cells"]] == [
        (cell.cell_type, cell.source) for cell in cells
    ]
    outputs = [output for cell in stored["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


@each
def test_it_asks_first_and_says_what_to_try_next(script):
    prose = [cell.source for cell in jupytext.read(script).cells if cell.cell_type == "markdown"]
    assert "?" in prose[0].splitlines()[0]
    assert "## What to try next" in prose[-1]


@each
def test_it_runs(script, tmp_path):
    around = {**os.environ, "XLA_FLAGS": flags()}
    words = [sys.executable, "-c", RUN, script]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=around)
    assert done.returncode == 0, done.stderr[-3000:]
