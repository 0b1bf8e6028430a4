"""One file a noun: its laws, each a function of a sample that raises LawViolation."""
