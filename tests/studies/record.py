"""Record quick data of studies for the tests of their claims.

    qra reproduce --quick --out FOLDER
    python -m tests.studies.record FOLDER            # studies that are recorded already
    python -m tests.studies.record FOLDER NAME ...   # or these

The tests of claims change data and see whether verdicts follow: what they need is data of the right form, not new
ones, which take half an hour. `.ci/run` measures anew before its tests, and these then take the new data.
"""

import argparse
import lzma
import shutil
import tempfile
from pathlib import Path

import xarray as xr

from qra_jax import studies
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


def main() -> None:
    """Copy what a run with the present source has measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("studies", nargs="*", metavar="NAME")
    command = parser.parse_args()
    for name in command.studies or sorted(one.name for one in RECORDED.iterdir()):
        shutil.rmtree(RECORDED / name, ignore_errors=True)
        for experiment, print_ in studies.load(name).fingerprints(quick=True).items():
            measured = store.path(command.folder / name, experiment, print_)
            if measured.is_file():
                path(name, experiment).parent.mkdir(parents=True, exist_ok=True)
                path(name, experiment).write_bytes(lzma.compress(measured.read_bytes(), preset=9))
            else:
                print(f"{name}/{experiment}: not in {command.folder}, with the present source")


if __name__ == "__main__":
    main()
