"""Modules that map states to energies."""
