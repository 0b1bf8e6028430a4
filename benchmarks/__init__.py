"""Measurements: what the project promises beside what it reaches, and our speed beside that of peers."""
