"""Names of length units as files spell them."""

from microlocal.core.errors import ScanFileError

_SPELLINGS = {
    "m": ("m", "meter", "metre", "meters", "metres"),
    "cm": ("cm", "centimeter", "centimetre"),
    "mm": ("mm", "millimeter", "millimetre", "millimeters", "millimetres"),
    "um": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers"),
    "nm": ("nm", "nanometer", "nanometre", "nanometers", "nanometres"),
    "angstrom": ("angstrom", "angstroms", "å", "ångström", "a"),
    "pixel": ("pixel", "pixels", "px", "1", ""),
}
_NAME_OF = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "angstrom": 1e-10}


def unit_name(text: str, who: str) -> str:
    """Return the one name of a unit that files spell in many ways; raises ScanFileError for an unknown one.

    >>> unit_name("µm", "scan")
    'um'
    """
    name = _NAME_OF.get(text.strip().lower())
    if name is None:
        known = ", ".join(_SPELLINGS)
        raise ScanFileError(who, expected=f"a length unit ({known})", got=repr(text), do="Mend the unit in the file.")
    return name
