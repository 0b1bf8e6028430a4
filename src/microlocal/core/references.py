"""The bibliography, ``references.bib``: cited by members of the registry, certificates and reconstructions."""

import re
from collections.abc import Iterable
from importlib.resources import files

from microlocal.core.errors import UnknownNameError


def _entries() -> dict[str, str]:
    text = files("microlocal.core").joinpath("references.bib").read_text(encoding="utf-8")
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in text.strip().split("\n\n")}


REFERENCES = _entries()  # the BibTeX text of every entry, by key

_ACCENTS = {'\\"a': "ä", '\\"o': "ö", '\\"u': "ü", "\\`e": "è", "\\o": "ø"}


def citation(key: str) -> str:
    """Return the short form of an entry: family names and year.

    Raises UnknownNameError for a key that is not in ``REFERENCES``.

    >>> citation("joseph1982"), citation("beck2009"), citation("rudin1992")
    ('Joseph 1982', 'Beck & Teboulle 2009', 'Rudin et al. 1992')
    """
    entry = _lookup(key)
    people = re.search(r"(?:author|editor)\s*= \{(.*)\},", entry)
    year = re.search(r"year\s*= \{(\d+)\}", entry)
    families = [person.split(",")[0] for person in people.group(1).split(" and ")] if people else [key]
    short = " & ".join(families) if len(families) <= 2 else f"{families[0]} et al."
    for code, letter in _ACCENTS.items():
        short = short.replace("{" + code + "}", letter)
    return f"{short} {year.group(1)}" if year else short


def bibtex(keys: Iterable[str]) -> str:
    """Return the entries of ``keys`` as one BibTeX text, each once, in alphabetical order.

    Raises UnknownNameError for a key that is not in ``REFERENCES``.

    >>> bibtex(["horn1985", "horn1985"]).count("@book")
    1
    """
    return "\n\n".join(_lookup(key) for key in sorted(set(keys)))


def _lookup(key: str) -> str:
    if key not in REFERENCES:
        raise UnknownNameError("references", key, REFERENCES)
    return REFERENCES[key]
