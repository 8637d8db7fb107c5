"""Metrics: tensors in, a dictionary of floats out. They know numbers, never models, samplers or tasks."""
