"""Products of small matrices whose sums stay in the processor's vector registers, for compiled loops.

Compilers make vectors of loops, but keep the sums of a product in memory, or add up their lanes one by one. Here it is
said what is in a register. Matrices are float32 and C-contiguous; the columns over which vectors go are a multiple of
`LANES` (zeros fill up). All sums are made in an order that does not depend on the other rows of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic

from streammac.models.base import Floats

LANES = 16 if get_host_cpu_features().get("avx512f") else 8
"""Numbers of a vector."""
SUMS = 16
"""Vectors that are added to at a time: as many as hide how long an addition takes."""
MULTIPLE = 4
"""Rows of both sides of a product come in multiples of this."""

_FLOAT, _INT, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_Generated: TypeAlias = tuple[Any, Callable[..., Any]]


def zeros(rows: int, columns: int) -> Floats:
    """Return a matrix; if ``columns`` is a multiple of 16 its rows begin at multiples of 64 bytes, as vectors want."""
    memory = np.zeros(rows * columns + 15, np.float32)
    first = -(memory.ctypes.data // 4) % 16
    return memory[first : first + rows * columns].reshape(rows, columns)


def up_to(count: int, multiple: int) -> int:
    """Return the least multiple that is not smaller.

    >>> up_to(5, 4), up_to(8, 4)
    (8, 8)
    """
    return -(-count // multiple) * multiple


def _make_wide(typing: Any) -> _Generated:
    """Ask for the widest vectors in the function that calls it: compilers shun those of 512 bits, for others' sake."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows no attributes with values
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


def _make_at(typing: Any, matrix: Any, row: Any, column: Any) -> _Generated:
    """Return the address of an entry; nothing is checked."""
    pointer: Any = types.CPointer
    signature = pointer(matrix.dtype)(matrix, row, column)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.ptrtoint(array.data, _INDEX)
        for axis in range(2):
            stride = builder.extract_value(array.strides, axis)
            address = builder.add(address, builder.mul(args[1 + axis], stride))
        return builder.inttoptr(address, context.get_value_type(signature.return_type))

    return signature, generate


def _indices(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT, len(numbers)), numbers)


class _Code:
    """Writes what the products have in common; ``stride`` and ``at`` count numbers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        multiply_add: Any = cgutils.get_or_insert_function
        self._multiply_add = multiply_add(
            builder.module,
            ir.FunctionType(_VECTOR, [_VECTOR] * 3),
            f"llvm.fmuladd.v{LANES}f32",
        )

    def index(self, row: Any, stride: Any, column: Any) -> Any:
        row, column = (_INDEX(v) if isinstance(v, int) else v for v in (row, column))
        return self.builder.add(self.builder.mul(row, stride), column)

    def vector_at(self, pointer: Any, at: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [at]), _VECTOR.as_pointer())

    def load(self, pointer: Any, at: Any) -> Any:
        return self.builder.load(self.vector_at(pointer, at), align=4)

    def everywhere(self, pointer: Any, at: Any) -> Any:
        """Return a vector of one number."""
        number = self.builder.load(self.builder.gep(pointer, [at]))
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, number, _INT(0))
        return self.builder.shuffle_vector(first, nothing, _indices([0] * LANES))

    def sums(self, count: int) -> list[Any]:
        """Return so many vectors of zeros, to be added to."""
        return [self._variable(_VECTOR(None)) for _ in range(count)]

    def _variable(self, value: Any) -> Any:
        allocate: Any = cgutils.alloca_once
        variable = allocate(self.builder, _VECTOR)
        self.builder.store(value, variable)
        return variable

    def add_product(self, total: Any, one: Any, other: Any) -> None:
        known = self.builder.load(total)
        self.builder.store(self.builder.call(self._multiply_add, [one, other, known]), total)

    def add_to_memory(self, totals: list[Any], pointer: Any, at: Any) -> None:
        """Add several vectors to what is there, pair by pair."""
        values = [self.builder.load(total) for total in totals]
        while len(values) > 1:
            values = [self.builder.fadd(*values[i : i + 2]) for i in range(0, len(values), 2)]
        place = self.vector_at(pointer, at)
        known = self.builder.load(place, align=4)
        self.builder.store(self.builder.fadd(known, values[0]), place, align=4)

    def up_to(self, stop: Any, step: int) -> Any:
        return cgutils.for_range_slice(self.builder, _INDEX(0), stop, _INDEX(step), inc=True)

    def lane_sums(self, vectors: list[Any]) -> Any:
        """Return the sums of the lanes of `LANES` vectors as one vector: half as many vectors at each step."""
        of = [(vector, [number] * LANES) for number, vector in enumerate(vectors)]
        size = LANES // 2
        while len(of) > 1:
            half = len(of) // 2
            of = [self._halved(of[k], of[k + half], size) for k in range(half)]
            size //= 2
        (found, numbers), order = of[0], range(LANES)
        order_of = _indices([numbers.index(number) for number in order])
        return self.builder.shuffle_vector(found, found, order_of)

    def _halved(
        self, one: tuple[Any, list[int]], other: tuple[Any, list[int]], size: int
    ) -> tuple[Any, list[int]]:
        """Add the halves of all groups of lanes that belong to the same sum; return whose the lanes are now."""
        low: list[int] = []
        numbers: list[int] = []
        for group in range(0, LANES, 2 * size):
            for begin, (_, belongs) in ((0, one), (LANES, other)):
                low += range(begin + group, begin + group + size)
                numbers += [belongs[group]] * size
        halves = [
            self.builder.shuffle_vector(one[0], other[0], _indices([lane + shift for lane in low]))
            for shift in (0, size)
        ]
        return self.builder.fadd(*halves), numbers


def _make_inner(
    typing: Any, x: Any, x_stride: Any, w: Any, w_stride: Any, length: Any, out: Any, stride: Any
) -> _Generated:
    """Write the products of 4 rows with 4 others, ``length`` long."""
    signature = types.void(x, x_stride, w, w_stride, length, out, stride)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, x_stride, w, w_stride, length, out, stride = args
        code = _Code(builder)
        totals = code.sums(MULTIPLE * MULTIPLE)
        with code.up_to(length, LANES) as (at, _):
            other = [code.load(w, code.index(j, w_stride, at)) for j in range(MULTIPLE)]
            for i in range(MULTIPLE):
                row = code.load(x, code.index(i, x_stride, at))
                for j in range(MULTIPLE):
                    code.add_product(totals[MULTIPLE * i + j], row, other[j])
        vectors = [builder.load(total) for total in totals]
        four = ir.VectorType(_FLOAT, MULTIPLE)
        for first in range(0, len(vectors), LANES):
            found = code.lane_sums(vectors[first : first + LANES])
            for part in range(0, LANES, MULTIPLE):
                lanes = _indices(list(range(part, part + MULTIPLE)))
                place = builder.gep(out, [code.index((first + part) // MULTIPLE, stride, 0)])
                place = builder.bitcast(place, four.as_pointer())
                builder.store(builder.shuffle_vector(found, found, lanes), place, align=4)
        return context.get_dummy_value()

    return signature, generate


def _outer_of(vectors: int) -> Callable[..., _Generated]:
    """Return what writes the part of `add_outer` of 4 rows and so many vectors of columns."""
    at_a_time = max(1, SUMS // (MULTIPLE * vectors))

    def make(
        typing: Any,
        push: Any,
        push_stride: Any,
        x: Any,
        x_stride: Any,
        n: Any,
        out: Any,
        stride: Any,
    ) -> _Generated:
        signature = types.void(push, push_stride, x, x_stride, n, out, stride)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            push, push_stride, x, x_stride, n, out, stride = args
            code = _Code(builder)
            columns = range(0, vectors * LANES, LANES)
            totals = {(j, d): code.sums(at_a_time) for j in range(MULTIPLE) for d in columns}
            with code.up_to(n, at_a_time) as (first, _):
                for i in range(at_a_time):
                    row = builder.add(first, _INDEX(i))
                    parts = {d: code.load(x, code.index(row, x_stride, d)) for d in columns}
                    for j in range(MULTIPLE):
                        factor = code.everywhere(push, code.index(row, push_stride, j))
                        for d in columns:
                            code.add_product(totals[j, d][i], factor, parts[d])
            for (j, d), sums in totals.items():
                code.add_to_memory(sums, out, code.index(j, stride, d))
            return context.get_dummy_value()

        return signature, generate

    return make


def _listed_of(vectors: int) -> Callable[..., _Generated]:
    """Return what writes the part of `add_listed` of so many vectors of columns."""
    at_a_time = max(1, SUMS // vectors)

    def make(
        typing: Any, x: Any, x_stride: Any, listed: Any, factors: Any, count: Any, out: Any
    ) -> _Generated:
        signature = types.void(x, x_stride, listed, factors, count, out)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, x_stride, listed, factors, count, out = args
            code = _Code(builder)
            columns = range(0, vectors * LANES, LANES)
            totals = {d: code.sums(at_a_time) for d in columns}
            with code.up_to(count, at_a_time) as (first, _):
                for k in range(at_a_time):
                    at = builder.add(first, _INDEX(k))
                    row = builder.sext(builder.load(builder.gep(listed, [at])), _INDEX)
                    factor = code.everywhere(factors, at)
                    for d in columns:
                        part = code.load(x, code.index(row, x_stride, d))
                        code.add_product(totals[d][k], factor, part)
            for d, sums in totals.items():
                code.add_to_memory(sums, out, _INDEX(d))
            return context.get_dummy_value()

        return signature, generate

    return make


wide: Any = intrinsic(_make_wide)
_at: Any = intrinsic(_make_at)
_inner: Any = intrinsic(_make_inner)
_outer_4: Any = intrinsic(_outer_of(4))
_outer_1: Any = intrinsic(_outer_of(1))
_listed_16: Any = intrinsic(_listed_of(16))
_listed_4: Any = intrinsic(_listed_of(4))
_listed_1: Any = intrinsic(_listed_of(1))

LISTED = SUMS
"""Lists of `add_listed` come in multiples of this; rows that count nothing fill up."""


@numba.njit(cache=True, nogil=True)
def inner(x: Any, first: Any, last: Any, weight: Any, out: Any) -> None:
    """Put the products of rows [first, last) of x with all rows of ``weight`` into these rows of ``out``."""
    wide()
    length = weight.shape[1]
    for j in range(0, weight.shape[0], MULTIPLE):
        for i in range(first, last, MULTIPLE):
            _inner(
                _at(x, i, 0),
                x.shape[1],
                _at(weight, j, 0),
                length,
                length,
                _at(out, i, j),
                out.shape[1],
            )


@numba.njit(cache=True, nogil=True)
def add_outer(push: Any, x: Any, n: Any, out: Any) -> None:
    """Add ``push[:n].T @ x[:n]`` to ``out`` (columns of push, columns of x); n is a multiple of 4."""
    wide()
    columns = out.shape[1]
    many = columns // (4 * LANES) * (4 * LANES)
    for d in range(0, many, 4 * LANES):
        for j in range(0, out.shape[0], MULTIPLE):
            _outer_4(
                _at(push, 0, j), push.shape[1], _at(x, 0, d), x.shape[1], n, _at(out, j, d), columns
            )
    for d in range(many, columns, LANES):
        for j in range(0, out.shape[0], MULTIPLE):
            _outer_1(
                _at(push, 0, j), push.shape[1], _at(x, 0, d), x.shape[1], n, _at(out, j, d), columns
            )


@numba.njit(cache=True, nogil=True)
def add_listed(x: Any, listed: Any, factors: Any, counts: Any, out: Any) -> None:
    """Add ``factors[j, k] * x[listed[j, k]]`` to row j of ``out``, for k < counts[j], multiples of `LISTED`."""
    wide()
    rows, columns = out.shape
    stride = x.shape[1]
    most, many = columns // (16 * LANES) * (16 * LANES), columns // (4 * LANES) * (4 * LANES)
    for d in range(0, most, 16 * LANES):
        for j in range(rows):
            _listed_16(
                _at(x, 0, d),
                stride,
                _at(listed, j, 0),
                _at(factors, j, 0),
                counts[j],
                _at(out, j, d),
            )
    for d in range(most, many, 4 * LANES):
        for j in range(rows):
            _listed_4(
                _at(x, 0, d),
                stride,
                _at(listed, j, 0),
                _at(factors, j, 0),
                counts[j],
                _at(out, j, d),
            )
    for d in range(many, columns, LANES):
        for j in range(rows):
            _listed_1(
                _at(x, 0, d),
                stride,
                _at(listed, j, 0),
                _at(factors, j, 0),
                counts[j],
                _at(out, j, d),
            )
