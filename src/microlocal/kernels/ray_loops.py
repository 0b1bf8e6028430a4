"""The two innermost loops of the ray kernels: interpolation among pixels that are held in registers.

The limit of Joseph's method is fetching two neighbours for every update. Where a processor can permute two registers
by a third (AVX-512: ``vpermi2ps``), the pixels that a vector of neighbouring rays needs are read once as two plain
loads, and both neighbours are picked from them inside the registers; a table look-up becomes one instruction for 16
numbers (8 in float64). LLVM does not find this by itself, so the two loops are written here as its vector code:

* ``add_rays``    rays of one block, many rows:  sums[k] += Σ_r lerp(row r, offset[k] + slope[k] r)
* ``add_pixels``  pixels of many rows, one view: out[c] += Σ_k hat(x[k] - c) y[k],  hat(t) = max(0, 1 - |t|)

Both take several images at once: places and weights are found for all of them together. The plain kernels of
``joseph`` do the same sums on any processor and are held against these in the tests.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from microlocal.kernels.lanes import INT64, Vectors, pointer

AT_ONCE = (8, 4, 2, 1)  # numbers of images that the loops are made for


def _for_images(builder: Any, images: Any, code: Callable[[int], None]) -> None:
    """Make the code for every number of images that may be asked for."""
    for several in AT_ONCE:
        with builder.if_then(builder.icmp_signed("==", images, ir.Constant(INT64, several))):
            code(several)


def _rows(builder: Any, begin: Any, end: Any, step: Any) -> Any:
    return cgutils.for_range_slice(builder, begin, end, step, INT64)


class _Block(NamedTuple):
    """The rays of a block: places in a row r are ``offset`` + ``slope`` r; ``ends``, those of the first and last."""

    offset: Any
    slope: Any
    ends: Sequence[tuple[Any, Any]]

    def at(self, v: Vectors, row: Any, limit: Any) -> tuple[Any, Any, Any]:
        """Where the window begins in a row, the left neighbours counted from there, and the right ones' weights."""
        builder, height = v.builder, v.builder.sitofp(row, v.number)
        position = v.fma(self.slope, v.splat(height), self.offset)
        whole = builder.fptosi(position, v.integers)
        weight = builder.fsub(position, builder.sitofp(whole, v.floats))
        first = builder.fptosi(v.smaller(*(v.fma(b, height, a) for a, b in self.ends)), v.integer)
        first = v.clamp(builder.sext(first, INT64) if v.lanes == 16 else first, limit)
        narrow = builder.trunc(first, v.integer) if v.lanes == 16 else first
        return first, builder.sub(whole, v.splat(narrow)), weight


@intrinsic
def add_rays(  # type: ignore[no-untyped-def]
    typing, rows, apart, stride, limit, begin, end, offsets, slopes, ray, count, images, lengths, sums, datum, beyond
):  # fmt: skip
    """sums[datum + k] += lengths[datum + k] Σ_{begin <= r < end} lerp(rows[r stride + ...], offsets[ray + k] + slopes[ray + k] r).

    That is done for the ``count`` rays of a block, which lie within a window of 2 lanes - 3 pixels of each other at
    every row, and for ``images`` (one of ``AT_ONCE``) whose rows lie ``apart`` from each other and whose sums
    ``beyond``. A window that begins outside 0..limit is moved to these ends, where a row holds zeros only.
    """  # noqa: E501 - the formula
    del typing
    whole = types.int64
    signature = types.void(rows, *([whole] * 5), offsets, slopes, *([whole] * 3), lengths, sums, whole, whole)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        apart, stride, limit, begin, end = arguments[1:6]
        ray, count, images = arguments[8:11]
        datum, beyond = arguments[13:15]
        source, o, s, scales, result = (
            pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 6, 7, 11, 12)
        )
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        one, further = ir.Constant(INT64, 1), ir.Constant(INT64, v.lanes)
        last = builder.sub(builder.add(ray, count), one)
        ends = [(v.load_scalar(o, k), v.load_scalar(s, k)) for k in (ray, last)]
        block, kept = _Block(v.load(o, ray), v.load(s, ray), ends), v.first(count)

        def of(several: int) -> None:
            totals = [(v.variable(v.constant(0.0)), v.variable(v.constant(0.0))) for _ in range(several)]
            with _rows(builder, begin, end, one) as (row, _):
                first, index, weight = block.at(v, row, limit)
                following = builder.add(index, ir.Constant(v.integers, [1] * v.lanes))
                place = builder.add(builder.mul(row, stride), first)
                for values, steps in totals:
                    window = v.load(source, place), v.load(source, builder.add(place, further))
                    here, there = v.pick(*window, index), v.pick(*window, following)
                    # Two sums: additions have units of their own, multiplications share theirs with the look-ups.
                    builder.store(builder.fadd(builder.load(values), here), values)
                    builder.store(v.fma(weight, builder.fsub(there, here), builder.load(steps)), steps)
                    place = builder.add(place, apart)
            scale, target = v.load_first(scales, datum, kept), datum
            for values, steps in totals:
                before, total = v.load_first(result, target, kept), builder.fadd(*map(builder.load, (values, steps)))
                v.store_first(v.fma(scale, total, before), result, target, kept)
                target = builder.add(target, beyond)

        _for_images(builder, images, of)
        return context.get_dummy_value()

    return signature, codegen


class _Cell(NamedTuple):
    """What the corners of a cell say of row r and pixel i, each a pair (value, change from row to row).

    ``guess``: the first ray with weight; ``begin`` (no vector): the least of the pixels' guesses; ray k lies at
    ``shift`` + ``scale`` table[k], counted from pixel i.
    """

    guess: tuple[Any, Any]
    begin: tuple[Any, Any]
    shift: tuple[Any, Any]
    scale: tuple[Any, Any]

    @staticmethod
    def read(v: Vectors, corners: Any) -> "_Cell":
        g, dg, s, ds, f, df, b, db, c, dc = (v.load_scalar(corners, ir.Constant(INT64, i)) for i in range(10))
        iota = ir.Constant(v.floats, [float(i) for i in range(v.lanes)])
        guess = v.fma(iota, v.splat(s), v.splat(g)), v.fma(iota, v.splat(ds), v.splat(dg))
        shift = v.builder.fsub(v.splat(b), iota), v.splat(db)
        return _Cell(guess, (f, df), shift, (v.splat(c), v.splat(dc)))

    def first(self, v: Vectors, row: Any, last: Any, limit: Any) -> Any:
        """The least ray that these rows need, cut to 0..limit."""
        heights = (v.builder.sitofp(r, v.number) for r in (row, last))
        least = v.smaller(v.smaller(*(v.fma(self.begin[1], height, self.begin[0]) for height in heights)), limit)
        nothing = ir.Constant(v.number, 0.0)
        least = v.builder.select(v.builder.fcmp_ordered(">", least, nothing), least, nothing)
        return v.builder.fptosi(least, INT64)


class _Pixels:
    """The loop of ``add_pixels`` for one number of images."""

    def __init__(self, v: Vectors, cell: _Cell, table: Any, data: Any, apart: Any, several: int) -> None:
        self.v, self.cell, self.table, self.data, self.apart, self.several = v, cell, table, data, apart, several

    def windows(self, first: Any) -> list[tuple[Any, Any]]:
        """Two registers of the table from ray ``first`` on, and two of every image's data."""
        v, found = self.v, []
        for source, skip in ((self.table, None), *((self.data, self.apart) for _ in range(self.several))):
            found.append((v.load(source, first), v.load(source, v.builder.add(first, ir.Constant(INT64, v.lanes)))))
            first = first if skip is None else v.builder.add(first, skip)
        return found

    def sums(self, row: Any, begin: Any, windows: Sequence[tuple[Any, Any]], taps: int, more: Any) -> list[Any]:
        """What the pixels of a row receive, an image each; ``row`` a vector, ``begin`` the first ray of the windows."""
        v, builder, (z, *values) = self.v, self.v.builder, windows
        one = ir.Constant(v.integers, [1] * v.lanes)
        index = v.fma(self.cell.guess[1], row, builder.fsub(self.cell.guess[0], begin))
        indices = [builder.fptosi(index, v.integers)]
        shift, scale = (v.fma(pair[1], row, pair[0]) for pair in (self.cell.shift, self.cell.scale))

        def hat(index: Any) -> Any:
            return builder.fsub(v.constant(1.0), v.distance(v.fma(v.pick(*z, index), scale, shift)))

        for _ in range(taps - 1):
            indices.append(builder.add(indices[-1], one))
        weights, totals = [hat(index) for index in indices], []
        for window in values:
            total = v.constant(0.0)
            for index, weight in zip(indices, weights, strict=True):
                total = v.fma(weight, v.pick(*window, index), total)
            totals.append(total)
        if more is None:
            return totals
        places, following = [v.variable(total) for total in totals], v.variable(indices[-1])
        with cgutils.for_range(builder, more):
            index = builder.add(builder.load(following), one)
            builder.store(index, following)
            weight = hat(index)
            for place, window in zip(places, values, strict=True):
                builder.store(v.fma(weight, v.pick(*window, index), builder.load(place)), place)
        return [builder.load(place) for place in places]


@intrinsic
def add_pixels(  # type: ignore[no-untyped-def]
    typing: Any, table, y, at, apart, limit, corners, taps, rows, deep, count, images, out, place, stride, beyond
):
    """out[place + r stride + i] += Σ_k hat(x[k] - i) y[at + k] with x[k] = b + b' r + (c + c' r) table[k].

    That is done for the pixels i < ``count`` of each row r < ``rows``, over ``taps`` rays (two at least) from
    k = ⌊g + r g' + i (s + r s')⌋ on. Those of ``deep`` rows lie in a window of two registers that begins with the least
    ray f + r f' of these rows, cut to 0..``limit``. ``corners`` holds g, g', s, s', f, f', b, b', c, c'. ``images`` is
    one of ``AT_ONCE``; their data lie ``apart`` from each other, and their pixels ``beyond``.
    """
    del typing
    number, whole = table.dtype, types.int64
    signature = types.void(table, y, whole, whole, number, corners, *([whole] * 5), out, *([whole] * 3))

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, apart, limit = arguments[2:5]
        taps, rows, deep, count, images = arguments[6:11]
        place, stride, beyond = arguments[12:15]
        table, data, numbers, result = (
            pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 5, 11)
        )
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        cell, kept, data = _Cell.read(v, numbers), v.first(count), builder.gep(data, [at])
        zero, one, three = (ir.Constant(INT64, n) for n in (0, 1, 3))

        def add(row: Any, totals: Sequence[Any]) -> None:
            target = builder.add(place, builder.mul(row, stride))
            for total in totals:
                before = v.load(result, target)
                v.store(builder.select(kept, builder.fadd(before, total), before), result, target)
                target = builder.add(target, beyond)

        def all_rows(several: int, taps_here: int, more: Any) -> None:
            pixels = _Pixels(v, cell, table, data, apart, several)
            with _rows(builder, zero, rows, deep) as (top, _):
                following = builder.add(top, deep)
                end = builder.select(builder.icmp_signed("<", following, rows), following, rows)
                first = cell.first(v, top, builder.sub(end, one), limit)
                windows, begin = pixels.windows(first), v.splat(builder.sitofp(first, v.number))
                height = v.variable(v.splat(builder.sitofp(top, v.number)))
                with _rows(builder, top, end, one) as (row, _):
                    here = builder.load(height)
                    builder.store(builder.fadd(here, v.constant(1.0)), height)
                    add(row, pixels.sums(here, begin, windows, taps_here, more))

        def of(several: int) -> None:
            # A loop over the rows of its own for two and for three rays.
            with builder.if_else(builder.icmp_signed("<", taps, three)) as (few, many):
                with few:
                    all_rows(several, 2, None)
                with many, builder.if_else(builder.icmp_signed("==", taps, three)) as (exactly, beyond_three):
                    with exactly:
                        all_rows(several, 3, None)
                    with beyond_three:
                        all_rows(several, 3, builder.sub(taps, three))

        _for_images(builder, images, of)
        return context.get_dummy_value()

    return signature, codegen
