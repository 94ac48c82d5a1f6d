"""Puts this folder on the import path, so that unit and integration tests share `tiny_models`."""
