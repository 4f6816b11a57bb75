r"""A little language for machine code on vectors with a number for each run: what Python computes with, LLVM writes.

Operators and comparisons of a `Value` write one instruction each, `Rows` are read and written by index, and a loop is a
`with` block. Integers are 32 bits wide where they belong to a run, 64 where they count or address.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from llvmlite import ir

POINTER, INT, LONG = ir.PointerType(), ir.IntType(32), ir.IntType(64)


class Value:
    """A scalar, or a vector with a number for each run: arithmetic on it writes instructions."""

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.value = code, value

    def _with(self, real: str, whole: str, other: Any, *relation: str) -> Value:
        kind = self.value.type
        is_real = getattr(kind, "element", kind) in (ir.FloatType(), ir.DoubleType())
        emit = getattr(self.code.builder, real if is_real else whole)
        other = other if isinstance(other, Value) else self.code.constant(other, kind)
        return Value(self.code, emit(*relation, self.value, other.value))

    def __add__(self, other: Any) -> Value:
        return self._with("fadd", "add", other)

    def __sub__(self, other: Any) -> Value:
        return self._with("fsub", "sub", other)

    def __mul__(self, other: Any) -> Value:
        return self._with("fmul", "mul", other)

    def __truediv__(self, other: Any) -> Value:
        return self._with("fdiv", "sdiv", other)

    def __xor__(self, other: Any) -> Value:
        return self._with("", "xor", other)

    def __or__(self, other: Any) -> Value:
        return self._with("", "or_", other)

    def __lshift__(self, other: Any) -> Value:
        return self._with("", "shl", other)

    def __rshift__(self, other: Any) -> Value:
        return self._with("", "lshr", other)

    def __lt__(self, other: Any) -> Value:
        return self._with("fcmp_ordered", "icmp_signed", other, "<")

    def equals(self, other: Any) -> Value:
        return self._with("fcmp_ordered", "icmp_signed", other, "==")

    def to(self, how: str, kind: Any) -> Value:
        return Value(self.code, getattr(self.code.builder, how)(self.value, kind))


class Rows:
    """Rows of numbers in memory: row r, at the lanes in turn."""

    def __init__(self, code: Code, pointer: Any, kind: Any, stride: Value, first: Value) -> None:
        self.code, self.pointer, self.kind, self.stride, self.first = code, pointer, kind, stride, first

    def _at(self, row: Any) -> Any:
        row = row if isinstance(row, Value) else self.code.long(row)
        place = row * self.stride + self.first
        return self.code.builder.gep(self.pointer, [place.value], source_etype=self.kind.element)

    def __getitem__(self, row: Any) -> Value:
        return Value(self.code, self.code.builder.load(self._at(row), align=4, typ=self.kind))

    def __setitem__(self, row: Any, value: Value) -> None:
        self.code.builder.store(value.value, self._at(row), align=4)


class Variable:
    """A variable of the code."""

    def __init__(self, code: Code, value: Value) -> None:
        self.code, self.kind = code, value.value.type
        with code.builder.goto_entry_block():
            self.place = code.builder.alloca(self.kind)
        self.set(value)

    def get(self) -> Value:
        return Value(self.code, self.code.builder.load(self.place, typ=self.kind))

    def set(self, value: Value) -> None:
        self.code.builder.store(value.value, self.place)


class Code:
    """A function in the making: `ptr call(ptr frame)`, a handler of XLA's foreign function interface."""

    def __init__(self, dtype: str, width: int) -> None:
        self.width, self.single = width, dtype == "float32"
        self.scalar = ir.FloatType() if self.single else ir.DoubleType()
        self.reals, self.whole = (ir.VectorType(kind, self.width) for kind in (self.scalar, INT))
        self.bits = ir.VectorType(INT if self.single else LONG, self.width)
        self.module = ir.Module("training")
        self.function = ir.Function(self.module, ir.FunctionType(POINTER, [POINTER]), "call")
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self._answer_for_version()

    def constant(self, number: Any, kind: Any) -> Value:
        return Value(
            self, ir.Constant(kind, [number] * self.width if isinstance(kind, ir.VectorType) else number)
        )

    def long(self, number: int) -> Value:
        return self.constant(number, LONG)

    def real(self, number: float) -> Value:
        return self.constant(number, self.reals)

    def integer(self, number: int) -> Value:
        return self.constant(number, self.whole)

    def everywhere(self, scalar: Value) -> Value:
        kind = ir.VectorType(scalar.value.type, self.width)
        first = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), scalar.value, ir.Constant(INT, 0)
        )
        zeros = ir.Constant(self.whole, [0] * self.width)
        return Value(self, self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros))

    def where(self, condition: Value, one: Value, other: Value) -> Value:
        return Value(self, self.builder.select(condition.value, one.value, other.value))

    def intrinsic(self, name: str, *args: Value, kind: Any = None) -> Value:
        """One of LLVM's own functions, such as `llvm.fma`, of vectors."""
        values = [arg.value for arg in args]
        kind = kind or values[0].type
        name = f"{name}.v{self.width}f{32 if self.single else 64}"
        known = self.module.globals.get(name)
        if known is None:
            known = ir.Function(self.module, ir.FunctionType(kind, [value.type for value in values]), name)
        return Value(self, self.builder.call(known, values))

    @contextlib.contextmanager
    def loop(self, count: Value) -> Iterator[Value]:
        """What is written inside is done `count` times, with its number 0, 1, …"""
        builder, before = self.builder, self.builder.block
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        number = builder.phi(LONG)
        number.add_incoming(ir.Constant(LONG, 0), before)
        builder.cbranch(builder.icmp_signed("<", number, count.value), body, after)
        builder.position_at_end(body)
        yield Value(self, number)
        number.add_incoming(builder.add(number, ir.Constant(LONG, 1)), builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    def field(self, pointer: Any, offset: int, kind: Any = POINTER) -> Any:
        """The field of a C structure at an offset in bytes."""
        place = self.builder.gep(pointer, [ir.Constant(LONG, offset)], source_etype=ir.IntType(8))
        return self.builder.load(place, typ=kind)

    def _answer_for_version(self) -> None:
        """XLA asks a handler once for the version of the interface (`XLA_FFI_Metadata_Extension`, in `c_api.h`)."""
        builder, frame = self.builder, self.function.args[0]
        extension = self.field(frame, 8)
        given = builder.icmp_unsigned("!=", builder.ptrtoint(extension, LONG), ir.Constant(LONG, 0))
        with builder.if_then(given, likely=False):
            kind = self.field(extension, 8, INT)
            with builder.if_then(builder.icmp_unsigned("==", kind, ir.Constant(INT, 1))):
                metadata, api = self.field(extension, 24), self.field(frame, 16)
                version = builder.gep(metadata, [ir.Constant(LONG, 24)], source_etype=ir.IntType(8))
                builder.store(
                    self.field(api, 32, LONG), version, align=4
                )  # major and minor: the caller's own
                builder.ret(ir.Constant(POINTER, None))

    def buffers(self, offset: int, count: int) -> list[Any]:
        """Where the data of the arguments (offset 72) or results (112) of a call lie."""
        listed = self.field(self.function.args[0], offset)
        return [self.field(self.field(listed, 8 * place), 24) for place in range(count)]

    def extent(self, argument: int, axis: int) -> Value:
        """The length of an axis of an argument."""
        buffer = self.field(self.field(self.function.args[0], 72), 8 * argument)
        return Value(self, self.field(self.field(buffer, 40), 8 * axis, LONG))

    def exp(self, x: Value) -> Value:
        """e^x for x ≤ 0 to a unit in the last place, 0 below the least normal number."""
        magic, place, high, low, least, terms = (
            (1.5 * 2**23, 23, 0.693145751953125, 1.428606765330187e-06, -87.0, 7)
            if self.single
            else (1.5 * 2**52, 52, 6.93147180369123816490e-01, 1.90821492927058770002e-10, -708.0, 13)
        )
        shifted = x * math.log2(math.e) + magic
        whole = shifted - magic
        rest = self.intrinsic("llvm.fma", whole, self.real(-high), x)
        rest = self.intrinsic("llvm.fma", whole, self.real(-low), rest)
        power = self.real(1 / math.factorial(terms))
        for term in reversed(range(terms)):
            power = self.intrinsic("llvm.fma", power, rest, self.real(1 / math.factorial(term)))
        scaled = power.to("bitcast", self.bits) + (shifted.to("bitcast", self.bits) << place)
        return self.where(x < least, self.real(0.0), scaled.to("bitcast", self.reals))
