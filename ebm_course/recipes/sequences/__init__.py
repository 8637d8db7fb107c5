"""Adversarial training of sequence energies (Yin, 2023) and its baseline, residual noise contrast."""
