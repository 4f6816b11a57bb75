r"""Machine code that draws groups, and takes whole steps of plain gradient ascent, within the first cache.

Compiled by LLVM for the machine at hand (llvmlite, a fifth of a second) and called by XLA as a custom call. It works on
`WIDTH` runs at a time. No operation mixes runs and none is reordered, so that nothing depends on how runs are grouped.
A group is drawn as in [`draw_verdicts`][qra_jax.training.groups.draw_verdicts], by the same words of Threefry.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
from typing import Any, NamedTuple

import jax
from llvmlite import binding, ir

from qra_jax.training._vectors import INT, LONG, POINTER, Code, Rows, Value, Variable
from qra_jax.training.bits import PARITY, ROTATIONS

WIDTH = {"float32": 32, "float64": 16}
"""Runs side by side: two of the widest vectors of today's processors, so that one waits while the other works."""
SCRATCH = 7
"""Rows of `WIDTH` numbers, for each pattern, that the code works in."""
_ENGINES: list[Any] = []
_LOCK = threading.Lock()
binding.initialize_native_target()
binding.initialize_native_asmprinter()


class Shape(NamedTuple):
    """What the code is written for."""

    dtype: str
    pairs: int
    """Hashes whose words are compared at a time, 1 … 8; a group is a whole number of such batches."""
    padded: bool
    """Whether a group may have fewer rollouts than it has words."""


def target(kind: str, shape: Shape) -> str:
    """Compile the code, if that has not been done, and make it known to XLA.

    Args:
      kind: `"group"`: `(now[3], seed, logits, rates, size) -> counts[2 patterns, lanes], scratch`; or `"steps"`:
        `(now[3], seed, logits, rates, size, right, wrong, rate) -> logits, right ones[lanes], silent[lanes],
        scratch`. The numbers of `now` are the first step, how many, and the batches of words of a group.
      shape: what it is written for.

    Returns:
      The name to call it by.
    """
    with _LOCK:
        return _target(kind, shape)


@functools.cache
def _target(kind: str, shape: Shape) -> str:
    code = Code(shape.dtype, WIDTH[shape.dtype])
    (_group if kind == "group" else _steps)(code, shape)
    code.builder.ret(ir.Constant(POINTER, None))
    text = str(code.module)
    module = binding.parse_assembly(text)
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _ENGINES.append(engine)  # it owns the code
    call = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(engine.get_function_address("call"))
    name = f"qra_jax.training.{kind}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(call), platform="cpu")
    return name


class _Block:
    """`WIDTH` runs: their arrays at one place of the lanes, and room to work in."""

    def __init__(self, code: Code, shape: Shape, args: list[Any], scratch: Any) -> None:
        self.code, self.shape = code, shape
        self.patterns, self.lanes = code.extent(2, 0), code.extent(2, 1)
        numbers = (Value(code, code.field(args[0], 4 * place, INT)) for place in range(3))
        self.first, self.steps, self.batches = (number.to("sext", LONG) for number in numbers)
        self.args, self.scratch = args, scratch

    def enter(self, lane: Value) -> None:
        """Go to the runs that begin at a lane."""
        code = self.code
        self.lane = lane
        self.logits, self.rates = self.array(self.args[2]), self.array(self.args[3])
        seed = self.array(self.args[1], code.whole)
        self.size = self.array(self.args[4], code.whole)[0]
        self.key = seed[0], seed[1], seed[0] ^ seed[1] ^ PARITY
        self.scores, self.right, self.wrong = (self.room(place) for place in range(3))
        self.levels, self.counts = self.room(3, code.whole if code.single else None), self.room(5, code.whole)

    def array(self, pointer: Any, kind: Any = None) -> Rows:
        return Rows(self.code, pointer, kind or self.code.reals, self.lanes, self.lane)

    def room(self, place: int, kind: Any = None) -> Rows:
        code = self.code
        offset = self.patterns * (place * code.width)
        pointer = code.builder.gep(self.scratch, [offset.value], source_etype=code.scalar)
        return Rows(code, pointer, kind or code.reals, code.long(code.width), code.long(0))

    def draw(self, logits: Rows, step: Value) -> Value:
        """Draw the groups of a step into `counts`, by running numbers: right ones of each pattern, then wrong ones.

        Returns:
          The sum of the scores, which are left in `scores`.
        """
        code, patterns = self.code, self.patterns
        top = Variable(code, code.real(float("-inf")))
        with code.loop(patterns) as r:
            top.set(code.where(top.get() < logits[r], logits[r], top.get()))
        total, right, wrong = (Variable(code, code.real(0.0)) for _ in range(3))
        highest = top.get()
        with code.loop(patterns) as r:
            score, rate = code.exp(logits[r] - highest), self.rates[r]
            self.scores[r] = score
            total.set(total.get() + score)
            right.set(right.get() + score * rate)
            wrong.set(wrong.get() + score * (code.real(1.0) - rate))
            self.right[r], self.wrong[r] = right.get(), wrong.get()
        accepted, whole = right.get(), right.get() + wrong.get()
        unit = code.real(2.0**24 if code.single else 1.0)
        scale = unit / whole
        with code.loop(patterns) as r:
            for row, sums in ((r, self.right[r]), (patterns + r, accepted + self.wrong[r])):
                # Exactly one where the ladder has reached its end: cells of zero width above stay empty.
                level = code.where(sums < whole, sums * scale, unit)
                if code.single:  # u < level for whole u, wherever level lies between two of them
                    level = code.intrinsic("llvm.ceil", level).to("fptosi", code.whole)
                self.levels[row] = level
                self.counts[row] = code.integer(0)
        with code.loop(self.batches) as batch:
            draws = self.words(step, batch * self.shape.pairs)
            with code.loop(patterns * 2 - 1) as row:
                self.counts[row] = self.counts[row] + self.below(draws, self.levels[row])
        self.counts[patterns * 2 - 1] = self.size
        return total.get()

    def words(self, step: Value, first: Value) -> list[Value]:
        """Numbers of a batch, as [`uniforms`][qra_jax.training.bits.uniforms] has them; 24 bits in float32."""
        code, draws = self.code, []
        if not code.single:
            fine, _ = self.threefry(step, code.integer(1 << 27))
            fine = fine.to("uitofp", code.reals) * 2.0**-32
        for pair in range(self.shape.pairs):
            index = code.everywhere((first + pair).to("trunc", INT))
            for half, word in enumerate(self.threefry(step, index)):
                if code.single:
                    draw, beyond = word >> 8, code.integer(1 << 25)
                else:
                    draw = (word.to("uitofp", code.reals) + fine) * 2.0**-32
                    draw, beyond = (
                        code.where(draw < 1 - 2.0**-53, draw, code.real(1 - 2.0**-53)),
                        code.real(2.0),
                    )
                if self.shape.padded:
                    draw = code.where(index * 2 + half < self.size, draw, beyond)
                draws.append(draw)
        return draws

    def threefry(self, time: Value, index: Value) -> tuple[Value, Value]:
        """As [`threefry`][qra_jax.training.bits.threefry] of 13 rounds."""
        x, y = time + self.key[0], index + self.key[1]
        for i in range(13):
            block, distance = i // 4, ROTATIONS[i // 4 % 2][i % 4]
            x = x + y
            y = ((y << distance) | (y >> (32 - distance))) ^ x
            if i % 4 == 3:
                x, y = x + self.key[(block + 1) % 3], y + self.key[(block + 2) % 3] + (block + 1)
        return x, y

    def below(self, draws: list[Value], level: Value) -> Value:
        """How many numbers lie below a level."""
        code = self.code
        sums = [code.integer(0), code.integer(0)]
        for place, draw in enumerate(draws):
            # The sign of a difference of integers costs less than a comparison, whose bit has to be made a number.
            hit = (draw - level) >> 31 if code.single else (draw < level).to("zext", code.whole)
            sums[place % 2] = sums[place % 2] + hit
        return sums[0] + sums[1]


def _group(code: Code, shape: Shape) -> None:
    args, (counts, scratch) = code.buffers(72, 5), code.buffers(112, 2)
    block = _Block(code, shape, args, scratch)
    with code.loop(block.lanes / code.width) as number:
        block.enter(number * code.width)
        block.draw(block.logits, code.everywhere(block.first.to("trunc", INT)))
        drawn = block.array(counts)
        with code.loop(block.patterns * 2) as row:
            drawn[row] = block.counts[row].to("sitofp", code.reals)


def _steps(code: Code, shape: Shape) -> None:
    args, (result, accepted, silent, scratch) = code.buffers(72, 8), code.buffers(112, 4)
    block = _Block(code, shape, args, scratch)
    patterns = block.patterns
    with code.loop(block.lanes / code.width) as number:
        block.enter(number * code.width)
        logits, weights = block.array(result), block.right
        rate = block.array(args[7])[0]
        with code.loop(patterns) as r:
            logits[r] = block.logits[r]
        right_ones, silences = Variable(code, code.integer(0)), Variable(code, code.integer(0))
        with code.loop(block.steps) as step:
            time = code.everywhere((block.first + step).to("trunc", INT))
            mass = block.draw(logits, time)
            right = block.counts[patterns - 1]
            right_ones.set(right_ones.get() + right)
            silence = code.where(
                right.equals(0), code.integer(1), right.equals(block.size).to("zext", code.whole)
            )
            silences.set(silences.get() + silence)
            reward, penalty = (_lookup(block, table, right) for table in args[5:7])
            before = Variable(code, code.integer(0)), Variable(code, right)
            total = Variable(code, code.real(0.0))
            with code.loop(patterns) as r:
                numbers = []
                for last, row in zip(before, (r, patterns + r), strict=True):
                    numbers.append((block.counts[row] - last.get()).to("sitofp", code.reals))
                    last.set(block.counts[row])
                weights[r] = reward * numbers[0] + penalty * numbers[1]
                total.set(total.get() + weights[r])
            share = total.get() / mass
            with code.loop(patterns) as r:
                logits[r] = logits[r] + rate * (weights[r] - block.scores[r] * share)
        block.array(accepted, code.whole)[0] = right_ones.get()
        block.array(silent, code.whole)[0] = silences.get()


def _lookup(block: _Block, table: Any, count: Value) -> Value:
    """`table[count]`, each run in its own column."""
    code = block.code
    long = ir.VectorType(LONG, code.width)
    columns = Value(code, ir.Constant(long, list(range(code.width))))
    place = count.to("sext", long) * code.everywhere(block.lanes) + columns + code.everywhere(block.lane)
    pointers = code.builder.gep(table, [place.value], source_etype=code.scalar)
    pointers.type = ir.VectorType(POINTER, code.width)
    every = ir.Constant(ir.VectorType(ir.IntType(1), code.width), [1] * code.width)
    name = f"llvm.masked.gather.v{code.width}f{32 if code.single else 64}.v{code.width}p0"
    kinds = [pointers.type, INT, every.type, code.reals]
    gather = code.module.globals.get(name) or ir.Function(
        code.module, ir.FunctionType(code.reals, kinds), name
    )
    size = ir.Constant(INT, 4 if code.single else 8)
    return Value(code, code.builder.call(gather, [pointers, size, every, code.real(0.0).value]))
