"""Broken members: one for every law, which the law must catch."""
