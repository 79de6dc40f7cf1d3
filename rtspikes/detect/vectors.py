"""Sixteen neighbouring lanes as one value of a kernel: what the hottest loops are written with.

A loop over lanes that works in memory loads and stores its state for every sample, and LLVM makes vectors of half the
width of it. A `Vector` stays in registers from sample to sample: it is LLVM's `<16 x float>`, one register of AVX-512,
two of AVX, four of SSE or NEON. Its operations are those of IEEE 754 and are never contracted, so that every lane of
it has the bits that a loop over floats would have given.

Functions that take `array, index` want a C-contiguous array and the place of the first of 16 neighbours; there must be
so many (nothing is checked).
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending, float32, int64, types, uint32
from numba.core import cgutils as untyped_cgutils

WIDTH = 16
"""Lanes in a vector."""

intrinsic: Any = extending.intrinsic
cgutils: Any = untyped_cgutils

_I8, _I16, _I32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(_I32, WIDTH)


class VectorType(types.Type):
    """Numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(f"Vector(float32 x {WIDTH})")


vector = VectorType()


@extending.register_model(VectorType)
class _VectorModel(extending.models.PrimitiveModel):
    def __init__(self, manager: Any, front: VectorType) -> None:
        super().__init__(manager, front, _FLOATS)  # type: ignore[no-untyped-call]


def _arithmetic(name: str, of: Any) -> None:
    """Let the operator `of` on two vectors be LLVM's instruction `name`."""

    @intrinsic
    def compute(typing, a, b):  # type: ignore[no-untyped-def]
        return vector(vector, vector), lambda context, builder, signature, args: getattr(builder, name)(*args)

    @extending.overload(of)
    def _(a, b):  # type: ignore[no-untyped-def]
        if isinstance(a, VectorType) and isinstance(b, VectorType):
            return lambda a, b: compute(a, b)
        return None


for _name, _of in (("fadd", operator.add), ("fsub", operator.sub), ("fmul", operator.mul)):
    _arithmetic(_name, _of)


def _same(builder: Any, value: Any) -> Any:
    """Return 16 times an LLVM value."""
    of = ir.VectorType(value.type, WIDTH)
    one = builder.insert_element(ir.Constant(of, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, ir.Constant(of, ir.Undefined), ir.Constant(_INTS, [0] * WIDTH))


def _place(context: Any, builder: Any, signature: Any, args: Any, of: Any) -> Any:
    """Return a pointer to `of` at args[1], an index or a tuple of them, of the array args[0]."""
    array, index = signature.args[:2]
    kinds: Any = index if isinstance(index, types.BaseTuple) else [index]
    values = cgutils.unpack_tuple(builder, args[1], array.ndim) if isinstance(index, types.BaseTuple) else [args[1]]
    at = [context.cast(builder, value, kind, types.intp) for value, kind in zip(values, kinds, strict=True)]
    record = context.make_array(array)(context, builder, args[0])
    place = cgutils.get_item_pointer(context, builder, array, record, at, wraparound=False, boundscheck=False)
    return builder.bitcast(place, of.as_pointer())


@intrinsic
def filled(typing, value):  # type: ignore[no-untyped-def]
    """Return a vector of one float32."""
    return vector(float32), lambda context, builder, signature, args: _same(builder, args[0])


@intrinsic
def load(typing, array, index):  # type: ignore[no-untyped-def]
    """Return what an array of int16 or float32 holds there."""
    item = ir.VectorType(_I16, WIDTH) if array.dtype == types.int16 else _FLOATS

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        value = builder.load(_place(context, builder, signature, args, item))
        value.align = array.dtype.bitwidth // 8
        return value if item is _FLOATS else builder.sitofp(builder.sext(value, _INTS), _FLOATS)

    return vector(array, index), generate


@intrinsic
def store(typing, array, index, value):  # type: ignore[no-untyped-def]
    """Put a vector into an array of float32."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.store(args[2], _place(context, builder, signature, args, _FLOATS)).align = 4
        return context.get_dummy_value()

    return types.void(array, index, vector), generate


@intrinsic
def prefetch(typing, array, index, ahead, writes):  # type: ignore[no-untyped-def]
    """Ask for the cache line `ahead` bytes behind a place, to be read or, `writes` = 1, written soon.

    The place may lie outside the array; `writes` is a literal.
    """
    if not isinstance(writes, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = builder.gep(_place(context, builder, signature, args, _I8), [args[2]])
        of = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, of, "llvm.prefetch.p0")
        builder.call(function, [place, *(ir.Constant(_I32, n) for n in (writes.literal_value, 3, 1))])  # keep it; data
        return context.get_dummy_value()

    return types.void(array, index, int64, writes), generate


@intrinsic
def minimum(typing, a, b):  # type: ignore[no-untyped-def]
    """Return the smaller of each two; b where it is not smaller."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def maximum(typing, a, b):  # type: ignore[no-untyped-def]
    """Return the larger of each two; b where it is not larger."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def magnitude(typing, a):  # type: ignore[no-untyped-def]
    """Return absolute values."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = builder.and_(builder.bitcast(args[0], _INTS), ir.Constant(_INTS, [0x7FFFFFFF] * WIDTH))
        return builder.bitcast(bits, _FLOATS)

    return vector(vector), generate


@intrinsic
def less(typing, a, b):  # type: ignore[no-untyped-def]
    """Return in which lanes a < b: bit k of a uint32 is lane k's."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.zext(builder.bitcast(builder.fcmp_ordered("<", *args), _I16), _I32)

    return uint32(vector, vector), generate


@intrinsic
def counted(typing, count, a, b):  # type: ignore[no-untyped-def]
    """Return `count`, one more in the lanes where a < b."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        one = ir.Constant(_FLOATS, [1.0] * WIDTH)
        return builder.select(builder.fcmp_ordered("<", *args[1:]), builder.fadd(args[0], one), args[0])

    return vector(vector, vector, vector), generate


@intrinsic
def where_less(typing, a, b, chosen, other):  # type: ignore[no-untyped-def]
    """Return `chosen` in the lanes where a < b, and `other` elsewhere."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered("<", *args[:2]), *args[2:])

    return vector(vector, vector, vector, vector), generate


@intrinsic
def with_bit(typing, pattern, bit):  # type: ignore[no-untyped-def]
    """Return patterns of 32 bits, carried as a vector, with one more bit set."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = builder.shl(ir.Constant(_I32, 1), builder.trunc(args[1], _I32))
        return builder.bitcast(builder.or_(builder.bitcast(args[0], _INTS), _same(builder, bits)), _FLOATS)

    return vector(vector, int64), generate


@intrinsic
def with_bit_unless_zero(typing, value, bit):  # type: ignore[no-untyped-def]
    """Return values with one more bit of their pattern set, but where the value is +0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pattern = builder.bitcast(args[0], _INTS)
        bits = builder.shl(ir.Constant(_I32, 1), builder.trunc(args[1], _I32))
        some = builder.icmp_unsigned("!=", pattern, ir.Constant(_INTS, [0] * WIDTH))
        return builder.bitcast(builder.select(some, builder.or_(pattern, _same(builder, bits)), pattern), _FLOATS)

    return vector(vector, int64), generate


@intrinsic
def of_order(typing, pattern):  # type: ignore[no-untyped-def]
    """Return the floats of patterns that sort as unsigned numbers: of positive ones the sign bit is set, of negative
    ones all bits are flipped.
    """  # noqa: D205

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = builder.bitcast(args[0], _INTS)
        negative = builder.icmp_signed(">=", bits, ir.Constant(_INTS, [0] * WIDTH))
        flip = builder.select(
            negative, ir.Constant(_INTS, [0xFFFFFFFF] * WIDTH), ir.Constant(_INTS, [0x80000000] * WIDTH)
        )
        return builder.bitcast(builder.xor(bits, flip), _FLOATS)

    return vector(vector), generate
