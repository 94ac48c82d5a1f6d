"""The user's ssh agent, at whichever socket. Imports paramiko: import this module where it is needed."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Any

from paramiko.agent import AgentSSH, get_agent_connection
from paramiko.ssh_exception import SSHException

_FAILURE = 5  # SSH_AGENT_FAILURE of draft-ietf-sshm-ssh-agent


class Agent(AgentSSH):
    """An agent with its keys.

    Args:
        connection: to the agent, open.

    Attributes:
        failed: whether it did not do what it was asked for last. paramiko signs in its own thread, and what goes wrong
            there looks like a broken connection to the board.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self.failed = False
        self._connect(connection)  # type: ignore[attr-defined]  # types-paramiko leaves it out

    def _send_message(self, message: Any) -> Any:
        try:
            kind, answer = super()._send_message(message)  # type: ignore[misc]
        except Exception:
            self.failed = True
            raise
        self.failed = kind == _FAILURE
        return kind, answer

    def close(self) -> None:
        """Let the agent go."""
        self._close()  # type: ignore[attr-defined]


def find_agent(path: str | None, limit_s: float) -> Agent | None:
    """The agent whose socket is `path` (None: the environment's, "": none), None where there is none that answers.

    It may take `limit_s` for each answer.
    """
    if path == "":
        return None
    connection: Any = None
    try:
        if path is None or os.name == "nt":
            connection = get_agent_connection()
        else:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(path)
        if connection is None:
            return None
        if isinstance(connection, socket.socket):
            connection.settimeout(limit_s)
        return Agent(connection)
    except (OSError, SSHException, struct.error):
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
        return None
