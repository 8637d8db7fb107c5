"""Functions that move states downhill, one algorithm a file."""
