"""A few shorthands for functions that are written in LLVM's intermediate representation."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils

intrinsic: Any = extending.intrinsic  # compiled code calls it without the context

BYTE, WORD, INT, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(kind: Any, *values: int) -> Any:
    """A constant with these lanes."""
    return ir.Constant(ir.VectorType(kind, len(values)), list(values))


def same(kind: Any, value: int, n: int) -> Any:
    """A constant with one value in n lanes."""
    return vector(kind, *[value] * n)


def broadcast(builder: Any, value: Any, n: int) -> Any:
    """The value in each of n lanes."""
    empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    first = builder.insert_element(empty, value, INT(0))
    return builder.shuffle_vector(first, empty, same(INT, 0, n))


def load(builder: Any, address: Any, kind: Any) -> Any:
    """A vector of this type from an integer, its address."""
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def store(builder: Any, value: Any, address: Any) -> None:
    """Write a vector to an integer, its address."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def call(builder: Any, name: str, kind: Any, *arguments: Any) -> Any:
    """Call one of LLVM's own functions, which returns this type."""
    function = ir.FunctionType(kind, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)
