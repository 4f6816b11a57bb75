"""Reverse mode through a flow whose end alone is wanted: the accepted steps are kept and walked back.

diffrax's own adjoint recomputes what its checkpoints leave out and differentiates the step size control, too. The
states here are tiny, so every accepted step is kept, and the way back is one vector-Jacobian product of a
Runge–Kutta step each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax._closures import hoisted
from qra_jax.flow.system import State, System
from qra_jax.flow.unchecked import diffeqsolve


class End(NamedTuple):
    """Where a flow ended.

    Attributes:
      state: the state there.
      converged: the solver got there.
      steps: solver steps.
      rejected: of these.
    """

    state: State
    converged: Array
    steps: Array
    rejected: Array


class ReversePlan(NamedTuple):
    """What is static: the velocity as `(held, state)`, which of the values held are floats, solver, most steps."""

    velocity: Any
    smooth: tuple[bool, ...]
    solver: diffrax.AbstractSolver
    max_steps: int

    def term(self, fixed: list[Array], constants: list[Array]) -> diffrax.ODETerm:
        """The velocity as diffrax wants it."""
        rest = {True: iter(constants), False: iter(fixed)}
        held = [next(rest[is_smooth]) for is_smooth in self.smooth]
        return diffrax.ODETerm(lambda t, y, args: self.velocity(held, y))


def end(
    system: System,
    *,
    time: Array,
    solver: diffrax.AbstractSolver,
    rtol: Array,
    atol: Array,
    max_steps: int,
) -> End:
    """Follow a system to one time, with a reverse-mode derivative in the start and in all its velocity depends on.

    The derivative is that of the steps taken, their sizes held fixed, as diffrax's is; the time itself has none, so
    scale the velocity in its place.

    Args:
      system: what to solve.
      time: when to end.

    As for `flow.solve`, none optional: `solver`, `rtol`, `atol`, `max_steps`.

    Returns:
      An [`End`][].
    """
    velocity, held = hoisted(system.velocity, system.start)
    smooth = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in held]
    fixed = [leaf for leaf, is_smooth in zip(held, smooth, strict=True) if not is_smooth]
    constants = [leaf for leaf, is_smooth in zip(held, smooth, strict=True) if is_smooth]
    return _end(
        ReversePlan(velocity, tuple(smooth), solver, max_steps),
        (time, rtol, atol, fixed),
        constants,
        system.start,
    )


def _solution(plan: ReversePlan, numbers: Any, constants: Any, start: State, saveat: Any) -> diffrax.Solution:
    time, rtol, atol, fixed = numbers
    return diffeqsolve(
        plan.term(fixed, constants),
        plan.solver,
        t0=jnp.zeros_like(time),
        t1=time,
        dt0=None,
        y0=start,
        saveat=saveat,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=plan.max_steps,
        adjoint=diffrax.ForwardMode(),
        throw=False,
    )


def _ended(solution: diffrax.Solution, state: State) -> End:
    converged = solution.result == diffrax.RESULTS.successful
    return End(state, converged, solution.stats["num_steps"], solution.stats["num_rejected_steps"])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _end(plan: ReversePlan, numbers: Any, constants: Any, start: State) -> End:
    solution = _solution(plan, numbers, constants, start, diffrax.SaveAt(t1=True))
    return _ended(solution, jax.tree.map(lambda leaf: leaf[0], solution.ys))


def _forward(plan: ReversePlan, numbers: Any, constants: Any, start: State) -> tuple[End, Any]:
    solution = _solution(plan, numbers, constants, start, diffrax.SaveAt(t0=True, steps=True))
    count = solution.stats["num_accepted_steps"]
    state = jax.tree.map(lambda leaf: leaf[count], solution.ys)
    return _ended(solution, state), (numbers, constants, solution.ts, solution.ys, count)


def _backward(plan: ReversePlan, kept: Any, cotangent: Any) -> tuple[None, Any, Any]:
    numbers, constants, times, states, count = kept

    def advance(i: Array, state: State, constants: Any) -> State:
        term, (first, last) = plan.term(numbers[-1], constants), (times[i], times[i + 1])
        memory = plan.solver.init(term, first, last, state, None)
        return plan.solver.step(term, first, last, state, None, memory, jnp.asarray(False))[0]

    def back(carry: Any) -> Any:
        i, towards_state, towards_constants = carry
        state = jax.tree.map(lambda leaf: leaf[i], states)
        _, pull = jax.vjp(partial(advance, i), state, constants)
        towards_state, more = pull(towards_state)
        return i - 1, towards_state, jax.tree.map(jnp.add, towards_constants, more)

    zeros = jax.tree.map(jnp.zeros_like, constants)
    first = (count - 1, cotangent.state, zeros)
    _, towards_start, towards_constants = jax.lax.while_loop(lambda carry: carry[0] >= 0, back, first)
    return None, towards_constants, towards_start


_end.defvjp(_forward, _backward)
