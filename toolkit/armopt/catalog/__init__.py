"""Finds and validates the data files: board kinds, cores, profiles."""
