"""Operations on `LANES` bytes at once, compiled.

Numba vectorises arithmetic by itself, but neither a look-up per byte nor columns that move by
offsets of their own. These few functions are written in LLVM's own terms, which it translates for
any processor; a look-up and a rounded product have versions for AVX-512 VBMI and for AVX2. They
take addresses, and read and write whole steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .. import ahead
from ..ir import BYTE, INT, LONG, WORD, broadcast, call, intrinsic, load, same, store, vector

LANES = 32  # with 64, more of the columns of a block would move, also on AVX-512

_VBMI = ahead.has("avx512vbmi")
_AVX2 = ahead.has("avx2")

_BYTES, _WORDS, _INTS = (ir.VectorType(kind, LANES) for kind in (BYTE, WORD, INT))
_QUARTER = ir.VectorType(BYTE, 64)
_ADDRESS, _COUNT, _NOTHING = types.uintp, types.intp, types.void


@intrinsic
def translate(context, data, n, table):
    """Look each of n bytes up in a table of 256, in steps of up to 64 bytes."""

    def codegen(context, builder, signature, args):
        data, n, table = args
        step, prepare, look_up = _LOOK_UP
        tables = prepare(builder, table)
        with cgutils.for_range_slice(builder, LONG(0), n, LONG(step)) as (at, _):
            look_up(builder, tables, builder.add(data, at))
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS), codegen


@intrinsic
def between_next(context, out, n, near, part):
    """Interpolate, by `part` / 2**15, between each of n bytes and the next one."""

    def codegen(context, builder, signature, args):
        out, n, near, part = args
        parts = broadcast(builder, part, LANES)
        with cgutils.for_range_slice(builder, LONG(0), n, LONG(LANES)) as (at, _):
            here = load(builder, builder.add(near, at), _BYTES)
            next_one = load(builder, builder.add(near, builder.add(at, LONG(1))), _BYTES)
            store(builder, _between(builder, here, next_one, parts), builder.add(out, at))
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS, types.int16), codegen


@intrinsic
def between_rows(context, out, rows, stride, lines, parts):
    """Interpolate between lines of `LANES` bytes and the next ones, by `parts` (words) / 2**15."""

    def codegen(context, builder, signature, args):
        out, rows, stride, lines, parts = args
        words = load(builder, parts, _WORDS)
        with cgutils.for_range(builder, rows) as loop:
            line = builder.add(lines, builder.mul(loop.index, LONG(LANES)))
            here = load(builder, line, _BYTES)
            next_one = load(builder, builder.add(line, LONG(LANES)), _BYTES)
            to = builder.add(out, builder.mul(loop.index, stride))
            store(builder, _between(builder, here, next_one, words), to)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _COUNT, _ADDRESS, _ADDRESS), codegen


@intrinsic
def choose_rows(context, lines, rows, beyond, wanted):
    """In lines of `LANES` bytes, replace bytes by those `beyond` where `wanted` is not 0."""

    def codegen(context, builder, signature, args):
        lines, rows, beyond, wanted = args
        chosen = builder.icmp_unsigned("!=", load(builder, wanted, _BYTES), same(BYTE, 0, LANES))
        with cgutils.for_range(builder, rows) as loop:
            here = builder.add(lines, builder.mul(loop.index, LONG(LANES)))
            there = load(builder, builder.add(here, beyond), _BYTES)
            store(builder, builder.select(chosen, there, load(builder, here, _BYTES)), here)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _COUNT, _ADDRESS), codegen


@intrinsic
def copy(context, to, source):
    """Copy `LANES` bytes."""

    def codegen(context, builder, signature, args):
        to, source = args
        store(builder, load(builder, source, _BYTES), to)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _ADDRESS), codegen


def _between(builder: Any, near: Any, far: Any, parts: Any) -> Any:
    """`parts` / 2**15 of the way from `near` to `far`, to the nearest level, halves rounded up."""
    start = builder.zext(near, _WORDS)
    way = builder.sub(builder.zext(far, _WORDS), start)
    return builder.trunc(builder.add(start, _part(builder, way, parts)), _BYTES)


def _part(builder: Any, way: Any, parts: Any) -> Any:
    """The product of words / 2**15, rounded; x86 has an instruction for it."""
    if _VBMI:
        return call(builder, "llvm.x86.avx512.pmul.hr.sw.512", _WORDS, way, parts)
    if _AVX2:
        halves = []
        for half in (range(16), range(16, 32)):
            factors = [builder.shuffle_vector(x, x, vector(INT, *half)) for x in (way, parts)]
            kind = ir.VectorType(WORD, 16)
            halves.append(call(builder, "llvm.x86.avx2.pmul.hr.sw", kind, *factors))
        return builder.shuffle_vector(*halves, vector(INT, *range(32)))
    product = builder.mul(builder.sext(way, _INTS), builder.sext(parts, _INTS))
    product = builder.add(product, same(INT, 1 << 14, LANES))
    return builder.trunc(builder.ashr(product, same(INT, 15, LANES)), _WORDS)


def _quarters(builder: Any, table: Any) -> list[Any]:
    return [load(builder, builder.add(table, LONG(64 * k)), _QUARTER) for k in range(4)]


def _permute(builder: Any, quarters: list[Any], at: Any) -> None:
    """Look 64 bytes up: VBMI has an instruction for tables of 128."""
    values = load(builder, at, _QUARTER)
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    low = call(builder, name, _QUARTER, quarters[0], values, quarters[1])
    high = call(builder, name, _QUARTER, quarters[2], values, quarters[3])
    upper = builder.icmp_signed("<", values, same(BYTE, 0, 64))
    store(builder, builder.select(upper, high, low), at)


def _changes(builder: Any, table: Any) -> list[Any]:
    """The table's sixteenths; in each half, from the second on, XOR the one before.

    Every 16 bytes occur twice, as AVX2 looks up in both halves of a register alone.
    """
    twice = vector(INT, *range(16), *range(16))
    kind = ir.VectorType(BYTE, 16)
    parts = [load(builder, builder.add(table, LONG(16 * k)), kind) for k in range(16)]
    for k in (*range(15, 8, -1), *range(7, 0, -1)):
        parts[k] = builder.xor(parts[k], parts[k - 1])
    return [builder.shuffle_vector(part, part, twice) for part in parts]


def _shuffle(builder: Any, changes: list[Any], at: Any) -> None:
    """Look 32 bytes up: AVX2 has an instruction for tables of 16, which gives 0 for bytes below 0.

    A byte, lowered by 16 from table to table, thus finds all changes up to those of its own
    sixteenth.
    """
    kind = ir.VectorType(BYTE, 32)
    values = load(builder, at, kind)
    found = same(BYTE, 0, 32)
    upper = builder.xor(values, same(BYTE, 128, 32))
    for half, left in ((changes[:8], values), (changes[8:], upper)):
        for change in half:
            looked_up = call(builder, "llvm.x86.avx2.pshuf.b", kind, change, left)
            found = builder.xor(found, looked_up)
            left = call(builder, "llvm.ssub.sat.v32i8", kind, left, same(BYTE, 16, 32))
    store(builder, found, at)


def _one(builder: Any, table: Any, at: Any) -> None:
    """Look one byte up."""
    pointer = builder.inttoptr(at, BYTE.as_pointer())
    address = builder.add(table, builder.zext(builder.load(pointer), LONG))
    builder.store(builder.load(builder.inttoptr(address, BYTE.as_pointer())), pointer)


_LOOK_UP: tuple[int, Callable[..., Any], Callable[..., None]]
"""How many bytes are looked up at once, what prepares the table, and what looks them up."""
if _VBMI:
    _LOOK_UP = 64, _quarters, _permute
elif _AVX2:
    _LOOK_UP = 32, _changes, _shuffle
else:
    _LOOK_UP = 1, lambda builder, table: table, _one
