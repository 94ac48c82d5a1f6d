"""The virtual board: an aarch64 Linux with sshd in QEMU's system emulator, reached as a real one is.

What it computes is what a board computes; how long it takes says nothing of any board.
"""
