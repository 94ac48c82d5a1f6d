"""Keras -> Keras -> .tflite, and what the file proves."""
