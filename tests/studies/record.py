"""Record quick data of studies for the tests of their claims.

    qra reproduce --quick --out FOLDER
    python -m tests.studies.record FOLDER            # studies that are recorded already
    python -m tests.studies.record FOLDER NAME ...   # or these

The tests of claims change data and see whether verdicts follow: what they need is data of the right form, not new
ones, which take half an hour. `.ci/run` measures anew before its tests, which then take the new data and see that
recorded ones have their form. Recorded are studies of up to half a megabyte, and larger ones that take a minute.
"""

import argparse
import lzma
import shutil
import tempfile
from pathlib import Path

import xarray as xr

from qra_jax import studies
from qra_jax.studies import worker
from qra_jax.studies.lab import store

RECORDED = Path(__file__).parent.parent / "data" / "quick"


def path(study: str, experiment: str) -> Path:
    """Where the quick data of an experiment are recorded."""
    return RECORDED / study / f"{experiment}.nc.xz"


def read(path: Path) -> xr.Dataset:
    """Recorded data."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "data.nc"
        plain.write_bytes(lzma.decompress(path.read_bytes()))
        return store.read(plain)


def data(study: str) -> dict[str, xr.Dataset]:
    """Recorded quick data of a study, by experiment."""
    return {file.name.removesuffix(".nc.xz"): read(file) for file in (RECORDED / study).glob("*.nc.xz")}


def main() -> None:
    """Copy what a run with the present source has measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("studies", nargs="*", metavar="NAME")
    command = parser.parse_args()
    for name in command.studies or sorted(one.name for one in RECORDED.iterdir()):
        done, measured = worker.finished(name, command.folder / name), {}
        for experiment, print_ in studies.load(name).fingerprints(quick=True).items():
            file = store.path(command.folder / name, experiment, print_)
            if file.is_file():  # otherwise it needs measured runs, or belongs to the full version
                measured[experiment] = file.read_bytes()
        if not (done and measured):
            raise SystemExit(f"{name}: no finished quick run with the present source in {command.folder}")
        shutil.rmtree(RECORDED / name, ignore_errors=True)
        (RECORDED / name).mkdir(parents=True)
        for experiment, content in measured.items():
            path(name, experiment).write_bytes(lzma.compress(content, preset=9))


if __name__ == "__main__":
    main()
