"""Documents written from the code: they say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from qra_jax import OffPolicy, parts

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("docs_algorithms", DOCS / "algorithms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_algorithms_is_what_the_code_says(writer):
    assert (DOCS / "algorithms.md").read_text(encoding="utf-8") == writer.page()


def test_every_part_and_option_is_on_the_page(writer):
    text = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    for name in (*parts.ALGORITHMS, *parts.REGULARIZERS):
        assert f"`{name}(" in text, name
    for name in OffPolicy.__dataclass_fields__:
        assert f"- `{name}` (default" in text, name
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table
    assert "- algorithms.md" in (DOCS.parent / "mkdocs.yml").read_text()


def test_exponents_in_words(writer):
    def laws(cold=1.0, constant=0.5, tail=1.0, pace=2.0):
        return SimpleNamespace(cold_start=cold, cold_constant=constant, tail=tail, tail_constant=pace)

    assert writer.cold_start(laws()) == "0.5 ρ₀⁻¹"
    assert writer.cold_start(laws(cold=0.0)) == "0.5 log(1/ρ₀)"
    assert writer.cold_start(laws(constant=0.0)) == "bounded"
    assert writer.tail(laws(tail=0.125)) == "(2 t)⁻⁰·¹²⁵"
    assert writer.tail(laws(tail=float("inf"))) == "exp(−2 t)"
    assert writer.tail(laws(tail=float("inf"), pace=float("inf"))) == "finite time"
