"""What a system of band-limited filters is made of: shears, records, responses as formulas."""

from microlocal.frames.base import Record
from microlocal.frames.spectra import Element

System = tuple[tuple[int, ...], tuple[Record, ...], tuple[Element, ...]]
