"""Ethos-U: what Vela, Arm's compiler, makes of a .tflite and what it estimates."""
