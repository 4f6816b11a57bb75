"""Sweeps that survive: grids, random and Sobol samples of anything, in a labelled store that can be resumed.

    data = sweep.run("spec.toml", "store.zarr")              # an xarray.Dataset, loaded where it is looked at
    data = sweep.run(sweep.Spec(function, {"x": [0.0, 0.5], "name": ["a", "b"]}), "store.zarr", resume=True)

A point's random key is `fold_in(root, index)`, and every program works on blocks of one width: results do not depend
on shards, order, devices or executor. A shard is one chunk, written once; its mark comes last. On a Slurm cluster,

    qra sweep spec.toml --store store.zarr --executor slurm:20     # twenty jobs; SBATCH_* variables say which
    sbatch --array 0-19 --wrap 'qra sweep spec.toml --store store.zarr --shard $SLURM_ARRAY_TASK_ID/20'

or hand `run` a configured `submitit.AutoExecutor`. Where the workers have other devices than the machine that starts
them, give the block width.
"""

from qra_jax.sweep.axes import Axis
from qra_jax.sweep.runner import open, run
from qra_jax.sweep.spec import Spec, from_table, from_toml

__all__ = ["Axis", "Spec", "from_table", "from_toml", "open", "run"]
