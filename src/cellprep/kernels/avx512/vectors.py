"""Affine transformations' work on many pixels at once, with AVX-512 VBMI, compiled.

Written in LLVM's own terms, as Numba neither gathers whole pixels nor weighs pairs of them. Both
functions take addresses, work in steps of 16 and 8 pixels, and write whole steps.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .. import ahead
from ..ir import BYTE, INT, LONG, WORD, broadcast, call, intrinsic, load, same, store, vector

SUPPORTED = ahead.has("avx512vbmi")

POSITION_BITS, WEIGHT_BITS = 32, 13
"""`between_four` takes positions in units of 2**-32 pixels, and weights of 2**-13."""

_BYTES, _HALF = ir.VectorType(BYTE, 64), ir.VectorType(WORD, 32)
_INTS, _LONGS = ir.VectorType(INT, 16), ir.VectorType(LONG, 8)
_ADDRESS, _COUNT, _NOTHING = types.uintp, types.intp, types.void


@intrinsic
def widen(context, out, n, source):
    """Widen n pixels of three bytes to four, 16 at a time; the fourth byte is 0."""

    def codegen(context, builder, signature, args):
        out, n, source = args
        nothing = same(BYTE, 0, 64)
        indices = [position for k in range(16) for position in (3 * k, 3 * k + 1, 3 * k + 2, 64)]
        with cgutils.for_range_slice(builder, LONG(0), n, LONG(16)) as (at, _):
            pixels = load(builder, builder.add(source, builder.mul(at, LONG(3))), _BYTES)
            wide = builder.shuffle_vector(pixels, nothing, vector(INT, *indices))
            store(builder, wide, builder.add(out, builder.mul(at, LONG(4))))
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
        upper_row = broadcast(builder, pixels, 8)
        lower_row = broadcast(builder, builder.add(pixels, builder.mul(stride, LONG(4))), 8)
        strides = broadcast(builder, stride, 8)
        lanes = vector(LONG, *range(8))
        ways = []
        for start, step in ((at_x, step_x), (at_y, step_y)):
            steps_on = broadcast(builder, step, 8)
            at = cgutils.alloca_once(builder, _LONGS)
            begin = builder.add(broadcast(builder, start, 8), builder.mul(steps_on, lanes))
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
            made = builder.shuffle_vector(*halves, vector(INT, *colors))
            store(builder, made, builder.add(out, builder.mul(loop.index, LONG(24))))
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
    pointers = builder.inttoptr(indices, ir.VectorType(LONG.as_pointer(), 8))
    every = same(ir.IntType(1), 1, 8)
    nothing = ir.Constant(_LONGS, ir.Undefined)
    arguments = [pointers, INT(4), every, nothing]
    pixels = call(builder, "llvm.masked.gather.v8i64.v8p0", _LONGS, *arguments)
    pixels, zeros = builder.bitcast(pixels, _BYTES), same(BYTE, 0, 64)
    weights = builder.bitcast(weights, _INTS)
    sums = []
    for first in (0, 4):
        pairs = [(8 * k + c, 8 * k + 4 + c) for k in range(first, first + 4) for c in range(4)]
        levels = [position for left, right in pairs for position in (left, 64, right, 64)]
        words = builder.bitcast(builder.shuffle_vector(pixels, zeros, vector(INT, *levels)), _HALF)
        of_each = vector(INT, *[2 * (first + k // 4) for k in range(16)])
        factors = builder.bitcast(builder.shuffle_vector(weights, weights, of_each), _HALF)
        sums.append(call(builder, "llvm.x86.avx512.pmaddw.d.512", _INTS, words, factors))
    return sums


def _longs(value: int) -> Any:
    return same(LONG, value, 8)


def _ints(value: int) -> Any:
    return same(INT, value, 16)
