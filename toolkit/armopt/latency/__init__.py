"""Instruction counts to milliseconds, and why: the latency model, and what can help on a board."""
