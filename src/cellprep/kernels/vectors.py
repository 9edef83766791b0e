"""Steps of 64 bytes at once, for processors that permute bytes (AVX-512 VBMI), compiled.

Numba fills vector registers by itself where a loop is plain arithmetic; a table look-up a byte it
cannot. These few steps are told to LLVM. They take addresses, and the number of bytes `n`, 1 to 64,
that are written; up to 256 bytes may be read from an address, wanted or not.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending
from numba.core import cgutils, config, types

_TOLD = any(getattr(config, name, None) for name in ("CPU_NAME", "CPU_FEATURES"))
"""Whether Numba is to compile for another processor than this one."""
SUPPORTED = bool(not _TOLD and llvm.get_host_cpu_features().get("avx512vbmi"))

intrinsic: Any = extending.intrinsic  # compiled code calls it without the context

_BYTE, _WORD, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _WORDS, _HALF = ir.VectorType(_BYTE, 64), ir.VectorType(_WORD, 64), ir.VectorType(_WORD, 32)
_ADDRESS, _COUNT, _NOTHING = types.uintp, types.intp, types.void


@intrinsic
def translate(context, data, n, table):
    """Put each of n bytes, any number, through a table of 256; up to 63 more may change."""

    def codegen(context, builder, signature, args):
        data, n, table = args
        quarters = _table(builder, table)
        with cgutils.for_range_slice(builder, _long(0), n, _long(64)) as (at, _):
            place = builder.add(data, at)
            found = _looked_up(builder, quarters, _load(builder, place))
            builder.store(found, _pointer(builder, place), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS), codegen


@intrinsic
def between_places(context, out, n, table, places, part):
    """The bytes of a table at `places`, moved by `part` (of 2**15) to those at the next ones."""

    def codegen(context, builder, signature, args):
        out, n, table, places, part = args
        quarters = _table(builder, table)
        near = _looked_up(builder, quarters, _load(builder, places))
        far = _looked_up(builder, quarters, _load(builder, builder.add(places, _long(1))))
        _store(builder, _between(builder, near, far, _spread(builder, part)), out, n)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _COUNT, _ADDRESS, _ADDRESS, types.int16), codegen


@intrinsic
def between_rows(context, out, n, rows, stride, lines, parts):
    """Each of the rows, 64 bytes apart, moved by `parts` (words, of 2**15) to the next one."""

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
    """In rows of 64 bytes, put those `beyond` in place of the bytes where `wanted` is not 0."""

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
    """64 bytes."""

    def codegen(context, builder, signature, args):
        to, source = args
        builder.store(_load(builder, source), _pointer(builder, to), align=1)
        return context.get_dummy_value()

    return _NOTHING(_ADDRESS, _ADDRESS), codegen


def _long(value: int) -> Any:
    return ir.Constant(_LONG, value)


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _BYTES.as_pointer())


def _load(builder: Any, address: Any) -> Any:
    return builder.load(_pointer(builder, address), align=1)


def _store(builder: Any, value: Any, address: Any, n: Any) -> None:
    """The first n bytes."""
    pointer = _pointer(builder, address)
    with builder.if_else(builder.icmp_signed("==", n, _long(64))) as (all_of_them, fewer):
        with all_of_them:
            builder.store(value, pointer, align=1)
        with fewer:
            lanes = ir.Constant(_BYTES, list(range(64)))
            wanted = builder.icmp_unsigned("<", lanes, _spread(builder, builder.trunc(n, _BYTE)))
            arguments = [value, pointer, ir.Constant(_INT, 1), wanted]
            _call(builder, "llvm.masked.store.v64i8.p0", ir.VoidType(), *arguments)


def _call(builder: Any, name: str, kind: Any, *arguments: Any) -> Any:
    function = ir.FunctionType(kind, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _places(*places: int) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(places)), list(places))


def _spread(builder: Any, value: Any) -> Any:
    """The value in every place."""
    empty = ir.Constant(ir.VectorType(value.type, 64), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, empty, _places(*[0] * 64))


def _table(builder: Any, address: Any) -> list[Any]:
    return [_load(builder, builder.add(address, _long(64 * quarter))) for quarter in range(4)]


def _looked_up(builder: Any, quarters: list[Any], places: Any) -> Any:
    permute = "llvm.x86.avx512.vpermi2var.qi.512"
    low = _call(builder, permute, _BYTES, quarters[0], places, quarters[1])
    high = _call(builder, permute, _BYTES, quarters[2], places, quarters[3])
    upper = builder.icmp_signed("<", places, ir.Constant(_BYTES, [0] * 64))
    return builder.select(upper, high, low)


def _between(builder: Any, near: Any, far: Any, parts: Any) -> Any:
    """`parts`, in 2**15, of the way from `near` to `far`, to the nearest level, halves up."""
    start = builder.zext(near, _WORDS)
    way = builder.sub(builder.zext(far, _WORDS), start)
    gone = []
    for half in (_places(*range(32)), _places(*range(32, 64))):
        factors = [builder.shuffle_vector(words, words, half) for words in (way, parts)]
        gone.append(_call(builder, "llvm.x86.avx512.pmul.hr.sw.512", _HALF, *factors))
    moved = builder.add(start, builder.shuffle_vector(*gone, _places(*range(64))))
    return builder.trunc(moved, _BYTES)
