"""Search over strengths: how many channels, zeros and codes each layer keeps, and how it is trained.

`space` says what can be turned, `recipe` makes a tree of one path of it, `sensitivity` says where it hurts, `ladder`
trains many a little and few to the end, `study` asks Optuna what to try next, `evaluate` builds and measures.
"""
