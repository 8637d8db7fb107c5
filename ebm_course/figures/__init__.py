"""Figures: finished numbers in, axes out. They know arrays and the style, never tensors, models or samplers."""
