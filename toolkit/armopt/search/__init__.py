"""Walks the tree: build, audit, score, measure, judge, tell; and remembers what was built."""
