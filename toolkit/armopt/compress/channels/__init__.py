"""Structured channel pruning: a smaller dense model from a trained one (docs/adr/015-channel-pruning.md)."""
