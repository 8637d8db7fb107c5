"""Robust JEM, reproduced in small: classifiers as energies, trained with and without attacks, and their samples."""
