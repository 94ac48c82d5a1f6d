"""Boards over SSH: paramiko carries the bytes, `ssh -G` says where to, and host keys are never taken on trust."""
