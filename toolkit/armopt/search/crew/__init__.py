"""Nodes built by several workers at once, here or on a cluster; the store is where they meet. See docs/adr/017."""
