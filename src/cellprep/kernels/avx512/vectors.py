"""Operations on 64 bytes at once, for processors that permute bytes (AVX-512 VBMI), compiled.

Numba vectorises plain arithmetic by itself, but not a table look-up per byte. These few functions
are written in LLVM's own terms. They take addresses, and the number `n` of bytes to write, 1 to 64;
up to 256 bytes may be read from an address. `widen` and `between_four` work in steps of 16 and 8
pixels, and write whole steps.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

from .. import ahead

SUPPORTED = ahead.has("avx512vbmi")

POSITION_BITS, WEIGHT_BITS = 32, 13
"""`between_four` takes positions in units of 2**-32 pixels, and weights of 2**-13."""

intrinsic: Any = extending.intrinsic  # compiled code calls it without the context

_BYTE, _WORD, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS, _HALF = ir.VectorType(_BYTE, 64), ir.VectorType(_WORD, 64), ir.VectorType(_WORD, 32)
_INTS, _LONGS = ir.VectorType(_INT, 16), ir.VectorType(_LONG, 8)
_ADDRESS, _COUNT, _NOTHING = types.uintp, types.intp, types.void


@intrinsic
def translate(context, data, n, table):
    """Look each of n bytes, any number, up in a table of 256; up to 63 bytes more may change."""

    def codegen(context, builder, signature, args):
        data, n, table = args
        quarters = _table(builder, table)
        with cgutils.for_range_slice(builder, _long(0), n, _long(64)) as (at, _):
            position = builder.add(data, at)
            found = _looked_up(builder, quarters, _load(builder, position))
            builder.store(found, _pointer(builder, position), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS), codegen


@intrinsic
def between_indices(context, out, n, table, indices, part):
    """Interpolate, by `part` / 2**15, between a table's bytes at `indices` and the next ones."""

    def codegen(context, builder, signature, args):
        out, n, table, indices, part = args
        quarters = _table(builder, table)
        near = _looked_up(builder, quarters, _load(builder, indices))
        far = _looked_up(builder, quarters, _load(builder, builder.add(indices, _long(1))))
        _store(builder, _between(builder, near, far, _broadcast(builder, part)), out, n)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS, _ADDRESS, types.int16), codegen


@intrinsic
def between_rows(context, out, n, rows, stride, lines, parts):
    """Interpolate between rows, 64 bytes apart, and the next ones, by `parts` (words) / 2**15."""

    def codegen(context, builder, signature, args):
        out, n, rows, stride, lines, parts = args
        words = builder.load(builder.inttoptr(parts, _WORDS.as_pointer()), align=1)
        with cgutils.for_range(builder, rows) as loop:
            near = builder.add(lines, builder.mul(loop.index, _long(64)))
            far = builder.add(near, _long(64))
            moved = _between(builder, _load(builder, near), _load(builder, far), words)
            _store(builder, moved, builder.add(out, builder.mul(loop.index, stride)), n)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _COUNT, _COUNT, _ADDRESS, _ADDRESS), codegen


@intrinsic
def choose_rows(context, lines, rows, beyond, wanted):
    """In rows of 64 bytes, replace bytes by those `beyond` where `wanted` is not 0."""

    def codegen(context, builder, signature, args):
        lines, rows, beyond, wanted = args
        chosen = builder.icmp_unsigned("!=", _load(builder, wanted), ir.Constant(_BYTES, [0] * 64))
        with cgutils.for_range(builder, rows) as loop:
            here = builder.add(lines, builder.mul(loop.index, _long(64)))
            there = _load(builder, builder.add(here, beyond))
            found = builder.select(chosen, there, _load(builder, here))
            builder.store(found, _pointer(builder, here), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _COUNT, _ADDRESS), codegen


@intrinsic
def copy(context, to, source):
    """Copy 64 bytes."""

    def codegen(context, builder, signature, args):
        to, source = args
        builder.store(_load(builder, source), _pointer(builder, to), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _ADDRESS), codegen


@intrinsic
def widen(context, out, n, source):
    """Widen n pixels of three bytes to four, 16 at a time; the fourth byte is 0."""

    def codegen(context, builder, signature, args):
        out, n, source = args
        nothing = ir.Constant(_BYTES, [0] * 64)
        indices = [position for k in range(16) for position in (3 * k, 3 * k + 1, 3 * k + 2, 64)]
        with cgutils.for_range_slice(builder, _long(0), n, _long(16)) as (at, _):
            pixels = _load(builder, builder.add(source, builder.mul(at, _long(3))))
            wide = builder.shuffle_vector(pixels, nothing, _indices(*indices))
            position = builder.add(out, builder.mul(at, _long(4)))
            builder.store(wide, _pointer(builder, position), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS), codegen


@intrinsic
def between_four(context, out, steps, pixels, stride, at_x, at_y, step_x, step_y):
    """Interpolate between the four neighbours of positions on a straight line, 8 pixels per step.

    The table has pixels of four bytes and rows of `stride` pixels; results have three bytes. Each
    step writes 32 bytes for 24.
    """

    def codegen(context, builder, signature, args):
        out, steps, pixels, stride, at_x, at_y, step_x, step_y = args
        upper_row = _broadcast(builder, pixels, 8)
        lower_row = _broadcast(builder, builder.add(pixels, builder.mul(stride, _long(4))), 8)
        strides = _broadcast(builder, stride, 8)
        lanes = ir.Constant(_LONGS, list(range(8)))
        ways = []
        for start, step in ((at_x, step_x), (at_y, step_y)):
            steps_on = _broadcast(builder, step, 8)
            at = cgutils.alloca_once(builder, _LONGS)
            begin = builder.add(_broadcast(builder, start, 8), builder.mul(steps_on, lanes))
            builder.store(begin, at)
            ways.append((at, builder.mul(steps_on, _longs(8))))
        with cgutils.for_range(builder, steps) as loop:
            indices, parts = [], []
            for way, step in ways:
                at = builder.load(way)
                builder.store(builder.add(at, step), way)
                indices.append(builder.lshr(at, _longs(POSITION_BITS)))
                part = builder.lshr(at, _longs(POSITION_BITS - WEIGHT_BITS))
                parts.append(builder.and_(part, _longs((1 << WEIGHT_BITS) - 1)))
            position = builder.add(builder.mul(indices[1], strides), indices[0])
            position = builder.shl(position, _longs(2))
            upper, lower = _weights(builder, *parts)
            above = _weighed(builder, builder.add(upper_row, position), upper)
            below = _weighed(builder, builder.add(lower_row, position), lower)
            halves = []
            for sums in zip(above, below, strict=True):
                level = builder.add(builder.add(*sums), _ints(1 << (WEIGHT_BITS - 1)))
                level = builder.lshr(level, _ints(WEIGHT_BITS))
                halves.append(builder.bitcast(level, _BYTES))
            colors = [16 * k + 4 * c for k in range(8) for c in range(3)] + [0] * 8
            made = builder.shuffle_vector(*halves, _indices(*colors))
            to = builder.add(out, builder.mul(loop.index, _long(24)))
            builder.store(made, builder.inttoptr(to, made.type.as_pointer()), align=1)
        return context.get_dummy_value()

    numbers = [types.int64] * 4
    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS, _COUNT, *numbers), codegen


def _weights(builder: Any, across: Any, down: Any) -> tuple[Any, Any]:
    """Weights of the upper and of the lower two neighbours, a pair of words per position."""
    both = builder.add(builder.mul(across, down), _longs(1 << (WEIGHT_BITS - 1)))
    both = builder.lshr(both, _longs(WEIGHT_BITS))
    right, below = builder.sub(across, both), builder.sub(down, both)
    rest = builder.sub(builder.sub(_longs(1 << WEIGHT_BITS), across), below)
    pairs = [(rest, right), (below, both)]
    upper, lower = (builder.or_(a, builder.shl(b, _longs(16))) for a, b in pairs)
    return upper, lower


def _weighed(builder: Any, indices: Any, weights: Any) -> list[Any]:
    """Weighted sums of two neighbours in four channels, for the first and last 4 of 8 positions.

    A pixel and the next one are one 64-bit number.
    """
    pointers = builder.inttoptr(indices, ir.VectorType(_LONG.as_pointer(), 8))
    every = ir.Constant(ir.VectorType(ir.IntType(1), 8), [1] * 8)
    nothing = ir.Constant(_LONGS, ir.Undefined)
    arguments = [pointers, ir.Constant(_INT, 4), every, nothing]
    pixels = _call(builder, "llvm.masked.gather.v8i64.v8p0", _LONGS, *arguments)
    pixels, zeros = builder.bitcast(pixels, _BYTES), ir.Constant(_BYTES, [0] * 64)
    weights = builder.bitcast(weights, _INTS)
    sums = []
    for first in (0, 4):
        pairs = [(8 * k + c, 8 * k + 4 + c) for k in range(first, first + 4) for c in range(4)]
        levels = [position for left, right in pairs for position in (left, 64, right, 64)]
        words = builder.bitcast(builder.shuffle_vector(pixels, zeros, _indices(*levels)), _HALF)
        of_each = _indices(*[2 * (first + k // 4) for k in range(16)])
        factors = builder.bitcast(builder.shuffle_vector(weights, weights, of_each), _HALF)
        sums.append(_call(builder, "llvm.x86.avx512.pmaddw.d.512", _INTS, words, factors))
    return sums


def _longs(value: int) -> Any:
    return ir.Constant(_LONGS, [value] * 8)


def _ints(value: int) -> Any:
    return ir.Constant(_INTS, [value] * 16)


def _long(value: int) -> Any:
    return ir.Constant(_LONG, value)


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _BYTES.as_pointer())


def _load(builder: Any, address: Any) -> Any:
    return builder.load(_pointer(builder, address), align=1)


def _store(builder: Any, value: Any, address: Any, n: Any) -> None:
    """Store the first n bytes."""
    pointer = _pointer(builder, address)
    with builder.if_else(builder.icmp_signed("==", n, _long(64))) as (whole, partial):
        with whole:
            builder.store(value, pointer, align=1)
        with partial:
            lanes = ir.Constant(_BYTES, list(range(64)))
            wanted = builder.icmp_unsigned("<", lanes, _broadcast(builder, builder.trunc(n, _BYTE)))
            arguments = [value, pointer, ir.Constant(_INT, 1), wanted]
            _call(builder, "llvm.masked.store.v64i8.p0", ir.VoidType(), *arguments)


def _call(builder: Any, name: str, kind: Any, *arguments: Any) -> Any:
    function = ir.FunctionType(kind, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _indices(*indices: int) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(indices)), list(indices))


def _broadcast(builder: Any, value: Any, n: int = 64) -> Any:
    """The value in each of n lanes."""
    empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, empty, _indices(*[0] * n))


def _table(builder: Any, address: Any) -> list[Any]:
    return [_load(builder, builder.add(address, _long(64 * quarter))) for quarter in range(4)]


def _looked_up(builder: Any, quarters: list[Any], indices: Any) -> Any:
    permute = "llvm.x86.avx512.vpermi2var.qi.512"
    low = _call(builder, permute, _BYTES, quarters[0], indices, quarters[1])
    high = _call(builder, permute, _BYTES, quarters[2], indices, quarters[3])
    upper = builder.icmp_signed("<", indices, ir.Constant(_BYTES, [0] * 64))
    return builder.select(upper, high, low)


def _between(builder: Any, near: Any, far: Any, parts: Any) -> Any:
    """`parts` / 2**15 of the way from `near` to `far`, to the nearest level, halves rounded up."""
    start = builder.zext(near, _WORDS)
    way = builder.sub(builder.zext(far, _WORDS), start)
    gone = []
    for half in (_indices(*range(32)), _indices(*range(32, 64))):
        factors = [builder.shuffle_vector(words, words, half) for words in (way, parts)]
        gone.append(_call(builder, "llvm.x86.avx512.pmul.hr.sw.512", _HALF, *factors))
    moved = builder.add(start, builder.shuffle_vector(*gone, _indices(*range(64))))
    return builder.trunc(moved, _BYTES)
