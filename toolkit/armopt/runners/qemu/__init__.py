"""The emulated board: an aarch64 system in a folder, QEMU's user mode, and a plugin that counts instructions."""
