"""Products of small matrices whose sums stay in the processor's vector registers, for compiled loops.

Compilers make vectors of loops, but keep the sums of a product in memory, or add up their lanes one by one. Here it is
said what is in a register. Matrices are float32 and C-contiguous; the columns over which vectors go are a multiple of
16 (zeros fill up). All sums are made in an order that does not depend on the other rows of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic

from streammac.models.base import Floats
from streammac.models.compiling import compiled

LANES = 16 if get_host_cpu_features().get("avx512f") else 8
"""Numbers of a vector."""
SUMS = 16
"""Vectors that are added to at a time: as many as hide how long an addition takes."""
MULTIPLE = 4
"""Rows of both sides of a product come in multiples of this."""
ROWS = 64
"""Rows that are looked at together, a bit of a word each."""

_FLOAT, _INT, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_BYTE, _SHORT = ir.IntType(8), ir.IntType(16)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_Written: TypeAlias = tuple[Any, Callable[..., Any]]


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


def _make_wide(typing: Any) -> _Written:
    """Ask for the widest vectors in the function that calls it: compilers shun those of 512 bits, for others' sake."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows no attributes with values
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), write


def _indices(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INT, len(numbers)), numbers)


class _Matrix(NamedTuple):
    """An array of one row or more, where the code that is written finds it."""

    builder: Any
    data: Any
    columns: Any

    def entry(self, row: Any, column: Any) -> Any:
        """Return the address of an entry; nothing is checked."""
        row, column = (_INDEX(v) if isinstance(v, int) else v for v in (row, column))
        at = self.builder.add(self.builder.mul(row, self.columns), column)
        return self.builder.gep(self.data, [at])


class _Code:
    """Writes what the products have in common."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.builder = builder
        self._context = context
        insert: Any = cgutils.get_or_insert_function
        name, kind = f"llvm.fmuladd.v{LANES}f32", ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        self._multiply_add = insert(builder.module, kind, name)

    def matrices(self, signature: Any, args: Any) -> list[_Matrix]:
        """Return the matrices among the arguments."""
        pairs = zip(signature.args, args, strict=True)
        return [self._matrix(of, value) for of, value in pairs if isinstance(of, types.Array)]

    def _matrix(self, of: Any, value: Any) -> _Matrix:
        array = self._context.make_array(of)(self._context, self.builder, value)
        columns = self.builder.extract_value(array.shape, of.ndim - 1)
        return _Matrix(self.builder, array.data, columns)

    def number_at(self, at: Any, ahead: int) -> Any:
        return self.builder.add(at, _INDEX(ahead))

    def load(self, address: Any) -> Any:
        """Return the vector that begins there."""
        return self.builder.load(self._vector_at(address), align=4)

    def load_of(self, matrix: _Matrix) -> Callable[[Any], Any]:
        """Return what loads vectors of a matrix, of numbers or of bytes."""
        return self.load_bytes if matrix.data.type.pointee == _BYTE else self.load

    def load_bytes(self, address: Any) -> Any:
        """Return the vector of the numbers that the bytes there are."""
        bytes_ = ir.VectorType(_BYTE, LANES)
        there = self.builder.bitcast(address, bytes_.as_pointer())
        words = self.builder.zext(self.builder.load(there, align=1), ir.VectorType(_INT, LANES))
        return self.builder.sitofp(words, _VECTOR)

    def _vector_at(self, address: Any) -> Any:
        return self.builder.bitcast(address, _VECTOR.as_pointer())

    def everywhere(self, address: Any) -> Any:
        """Return a vector of nothing but the number there."""
        return self.filled(self.builder.load(address))

    def filled(self, number: Any) -> Any:
        """Return a vector of nothing but this number."""
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, number, _INT(0))
        return self.builder.shuffle_vector(first, nothing, _indices([0] * LANES))

    def sums(self, count: int, kind: Any = _VECTOR) -> list[Any]:
        """Return so many vectors of zeros, to be added to."""
        allocate: Any = cgutils.alloca_once
        totals = [allocate(self.builder, kind) for _ in range(count)]
        for total in totals:
            self.builder.store(kind(None), total)
        return totals

    def multiply_add(self, one: Any, other: Any, added: Any) -> Any:
        """Return the product of two vectors' lanes and what is added to it."""
        return self.builder.call(self._multiply_add, [one, other, added])

    def add_product(self, total: Any, one: Any, other: Any) -> None:
        """Add the products of two vectors' lanes."""
        self.builder.store(self.multiply_add(one, other, self.builder.load(total)), total)

    def add_to_memory(self, totals: list[Any], address: Any) -> None:
        """Add several vectors to the one there."""
        values = [self.builder.load(total) for total in totals]
        while len(values) > 1:
            values = [self.builder.fadd(*values[i : i + 2]) for i in range(0, len(values), 2)]
        self.add_to_memory_of(values[0], address)

    def add_to_memory_of(self, value: Any, address: Any) -> None:
        """Add a vector of numbers to the one there."""
        there = self.builder.bitcast(address, value.type.as_pointer())
        known = self.builder.load(there, align=4)
        self.builder.store(self.builder.fadd(known, value), there, align=4)

    def up_to(self, stop: Any, step: int, start: Any = _INDEX(0)) -> Any:  # noqa: B008
        """Write a loop."""
        return cgutils.for_range_slice(self.builder, start, stop, _INDEX(step), inc=True)

    def lane_sums(self, vectors: list[Any]) -> Any:
        """Return the sums of the lanes of `LANES` vectors as one vector: half as many vectors at each step."""
        of = [(vector, [number] * LANES) for number, vector in enumerate(vectors)]
        size = LANES // 2
        while len(of) > 1:
            half = len(of) // 2
            of = [self._halved(of[k], of[k + half], size) for k in range(half)]
            size //= 2
        found, numbers = of[0]
        order = _indices([numbers.index(number) for number in range(LANES)])
        return self.builder.shuffle_vector(found, found, order)

    def _halved(
        self, one: tuple[Any, list[int]], other: tuple[Any, list[int]], size: int
    ) -> tuple[Any, list[int]]:
        """Add the halves of all groups of lanes that belong to the same sum; return whose the lanes are now."""
        # lanes that stay where they are cost less than those that move
        stay: list[int] = []
        move: list[int] = []
        numbers: list[int] = []
        for group in range(0, LANES, 2 * size):
            middle, end = group + size, group + 2 * size
            stay += [*range(group, middle), *range(LANES + middle, LANES + end)]
            move += [*range(middle, end), *range(LANES + group, LANES + middle)]
            numbers += [one[1][group]] * size + [other[1][group]] * size
        halves = [self.builder.shuffle_vector(one[0], other[0], _indices(k)) for k in (stay, move)]
        return self.builder.fadd(*halves), numbers


def _make_inner(typing: Any, a: Any, i: Any, b: Any, j: Any, out: Any, to: Any) -> _Written:
    """Put the products of 4 rows of a, from i on, with 4 of b, from j on, into columns of ``out``, from ``to`` on.

    Of b there may be bytes, which become numbers on the way.
    """

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder)
        (a, b, out), to = code.matrices(signature, args), args[5]
        load = code.load_of(b)
        rows, others = ([code.number_at(args[k], n) for n in range(MULTIPLE)] for k in (1, 3))
        totals = code.sums(MULTIPLE * MULTIPLE)
        with code.up_to(a.columns, LANES) as (at, _):
            parts = [load(b.entry(other, at)) for other in others]
            for first, row in enumerate(rows):
                part = code.load(a.entry(row, at))
                for number, other_part in enumerate(parts):
                    code.add_product(totals[MULTIPLE * first + number], part, other_part)
        values = [builder.load(total) for total in totals]
        sums = [code.lane_sums(values[k : k + LANES]) for k in range(0, len(values), LANES)]
        for number, row in enumerate(rows):
            found, at = sums[number * MULTIPLE // LANES], number * MULTIPLE % LANES
            four = builder.shuffle_vector(found, found, _indices(list(range(at, at + MULTIPLE))))
            place = builder.bitcast(out.entry(row, to), four.type.as_pointer())
            builder.store(four, place, align=4)
        return context.get_dummy_value()

    return types.void(a, i, b, j, out, to), write


def _product_of(vectors: int) -> Callable[..., _Written]:
    at_a_time = max(1, SUMS // (MULTIPLE * vectors))

    def make(typing: Any, factors: Any, x: Any, n: Any, out: Any, j: Any, d: Any) -> _Written:
        """Add ``factors[:, :n] @ x[:n]`` to 4 rows of ``out``, from j on, and some vectors of columns, from d on."""

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = _Code(context, builder)
            factors, x, out = code.matrices(signature, args)
            n, j, d = args[2], args[4], args[5]
            load = code.load_of(x)
            rows = [code.number_at(j, k) for k in range(MULTIPLE)]
            columns = [code.number_at(d, k * LANES) for k in range(vectors)]
            totals = [[code.sums(at_a_time) for _ in columns] for _ in rows]
            with code.up_to(n, at_a_time) as (first, _):
                for ahead in range(at_a_time):
                    i = code.number_at(first, ahead)
                    parts = [load(x.entry(i, column)) for column in columns]
                    for row, sums in zip(rows, totals, strict=True):
                        factor = code.everywhere(factors.entry(row, i))
                        for total, part in zip(sums, parts, strict=True):
                            code.add_product(total[ahead], factor, part)
            for row, sums in zip(rows, totals, strict=True):
                for column, total in zip(columns, sums, strict=True):
                    code.add_to_memory(total, out.entry(row, column))
            return context.get_dummy_value()

        return types.void(factors, x, n, out, j, d), write

    return make


def _listed_of(vectors: int) -> Callable[..., _Written]:
    def make(typing: Any, x: Any, listed: Any, ends: Any, out: Any, at: Any) -> _Written:
        """Add rows of x to some vectors of columns of ``out``, ``at`` this row and from this column on.

        Those listed up to the first of the two ends are added, the others up to the second subtracted.
        """

        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            code = _Code(context, builder)
            x, listed, out = code.matrices(signature, args)
            ends, (row, column) = (
                [builder.extract_value(args[k], n) for n in range(2)] for k in (2, 4)
            )
            kind = _Bytes(code) if x.data.type.pointee == _BYTE else _Floats(code)
            columns = [code.number_at(column, k * kind.lanes) for k in range(vectors)]
            totals = code.sums(vectors, kind.vector)
            for start, end, add in ((_INDEX(0), ends[0], kind.add), (*ends, kind.subtract)):
                with code.up_to(end, 1, start) as (k, _):
                    i = builder.load(listed.entry(0, k))
                    for total, at in zip(totals, columns, strict=True):
                        value = kind.load(x.entry(i, at))
                        builder.store(add(builder.load(total), value), total)
            for total, at in zip(totals, columns, strict=True):
                kind.add_to_memory(builder.load(total), out.entry(row, at))
            return context.get_dummy_value()

        return types.void(x, listed, ends, out, at), write

    return make


class _Floats:
    """How rows of float32 are added up."""

    lanes, vector = LANES, _VECTOR

    def __init__(self, code: _Code) -> None:
        self.load, self.add, self.subtract = code.load, code.builder.fadd, code.builder.fsub
        self._code = code

    def add_to_memory(self, total: Any, address: Any) -> None:
        self._code.add_to_memory_of(total, address)


class _Bytes:
    """How rows of bytes are added up: as whole numbers of 16 bits, which those of `ROWS` rows do not leave."""

    lanes = 2 * LANES
    vector = ir.VectorType(_SHORT, 2 * LANES)

    def __init__(self, code: _Code) -> None:
        self.add, self.subtract = code.builder.add, code.builder.sub
        self._code, self._builder = code, code.builder

    def load(self, address: Any) -> Any:
        kind = ir.VectorType(_BYTE, self.lanes)
        there = self._builder.bitcast(address, kind.as_pointer())
        return self._builder.zext(self._builder.load(there, align=1), self.vector)

    def add_to_memory(self, total: Any, address: Any) -> None:
        floats = ir.VectorType(_FLOAT, self.lanes)
        self._code.add_to_memory_of(self._builder.sitofp(total, floats), address)


def _make_inside(typing: Any, activations: Any, row: Any, factor: Any, offset: Any) -> _Written:
    """Multiply and shift `ROWS` columns of a row; return where it is less than 1, and where more than -1."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder)
        (of,), row = code.matrices(signature, args), args[1]
        factor, offset, one = (code.filled(v) for v in (args[2], args[3], _FLOAT(1)))
        word = ir.IntType(ROWS)
        below = above = word(0)
        for first in range(0, ROWS, LANES):
            address = builder.bitcast(of.entry(row, first), _VECTOR.as_pointer())
            value = code.multiply_add(builder.load(address, align=4), factor, offset)
            builder.store(value, address, align=4)
            for sign, number in (("<", one), (">", code.filled(_FLOAT(-1)))):
                found = builder.fcmp_ordered(sign, value, number)
                bits = builder.zext(builder.bitcast(found, ir.IntType(LANES)), word)
                bits = builder.shl(bits, word(first))
                if sign == "<":
                    below = builder.or_(below, bits)
                else:
                    above = builder.or_(above, bits)
        return context.make_tuple(builder, signature.return_type, (below, above))

    pair: Any = types.UniTuple
    result = pair(types.uint64, 2)(activations, row, types.float32, types.float32)
    return result, write


def _make_lowest(typing: Any, word: Any) -> _Written:
    """Return the number of the lowest bit that is set; of no bits nothing that makes sense."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), write


def _make_ones(typing: Any, word: Any) -> _Written:
    """Return how many bits are set."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), write


wide: Any = intrinsic(_make_wide)
_inner: Any = intrinsic(_make_inner)
_product_4: Any = intrinsic(_product_of(4))
_product_1: Any = intrinsic(_product_of(1))
_listed_8: Any = intrinsic(_listed_of(8))
_listed_1: Any = intrinsic(_listed_of(1))
inside: Any = intrinsic(_make_inside)
lowest: Any = intrinsic(_make_lowest)
ones: Any = intrinsic(_make_ones)


@compiled()
def inner(weight: Any, x: Any, first: Any, last: Any, out: Any, at: Any) -> None:
    """Put the products of all rows of ``weight`` with rows [first, last) of x into ``out``, from column ``at`` on."""
    for j in range(0, weight.shape[0], MULTIPLE):
        for i in range(first, last, MULTIPLE):
            _inner(weight, j, x, i, out, at + i - first)


@compiled()
def add_product(factors: Any, x: Any, n: Any, out: Any) -> None:
    """Add ``factors[:, :n] @ x[:n]`` to ``out``; n is a multiple of 4; x is float32 or bytes."""
    rows, columns = out.shape
    many = columns // (4 * LANES) * (4 * LANES)
    for d in range(0, many, 4 * LANES):
        for j in range(0, rows, MULTIPLE):
            _product_4(factors, x, n, out, j, d)
    for d in range(many, columns, LANES):
        for j in range(0, rows, MULTIPLE):
            _product_1(factors, x, n, out, j, d)


@compiled()
def add_listed(x: Any, listed: Any, ends: Any, out: Any, row: Any) -> None:
    """Add rows of x, float32 or bytes, to one of ``out``: those listed up to ``ends[0]``; up to ``ends[1]`` subtract.

    They are `ROWS` at most. Columns are a multiple of 16, of bytes of 32.
    """
    lanes = LANES if x.itemsize == 4 else 2 * LANES
    columns = out.shape[1]
    many = columns // (8 * lanes) * (8 * lanes)
    for d in range(0, many, 8 * lanes):
        _listed_8(x, listed, ends, out, (row, d))
    for d in range(many, columns, lanes):
        _listed_1(x, listed, ends, out, (row, d))
