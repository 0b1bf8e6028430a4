"""Write docs/references.md from the bibliography in the code: ``python docs/references.py``."""

from pathlib import Path

from microlocal.core.references import REFERENCES, citation

HEAD = """# References

Written by `python docs/references.py` from `microlocal/core/references.bib`; a test compares the two. Methods,
certificates, functionals and frames cite these keys, and every report lists the entries that its result used.
"""


def page() -> str:
    """Return the page: for each key the short citation and the BibTeX entry."""
    entries = (f"\n**{key}**: {citation(key)}.\n\n```bibtex\n{text}\n```\n" for key, text in REFERENCES.items())
    return HEAD + "".join(entries)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
