"""Objectives: energies (tensors) in, a loss out. They know numbers, never models, samplers or data."""
