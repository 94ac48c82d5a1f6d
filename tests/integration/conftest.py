"""What integration tests share: `virtual_board`, one for all of them."""

from virtual_board import virtual_board

__all__ = ["virtual_board"]
