"""Trees of reasoning steps: question → step → … → answer, with exact values and credit for each step."""

from qra_jax.tree import credit as credit, instances as instances, restarts as restarts
from qra_jax.tree.credit import Credit as Credit
from qra_jax.tree.file import load as load
from qra_jax.tree.model import Tree as Tree
from qra_jax.tree.moments import covariance as covariance, mean_update as mean_update, tokens as tokens
from qra_jax.tree.paid import Paid as Paid, paid as paid
from qra_jax.tree.result import TreeTrajectory as TreeTrajectory
from qra_jax.tree.shape import Shape as Shape
from qra_jax.tree.solver import solve as solve
from qra_jax.tree.training import fit_critic as fit_critic, measure as measure, train as train
from qra_jax.tree.values import Values as Values, values as values
