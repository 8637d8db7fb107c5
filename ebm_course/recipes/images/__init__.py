"""Classifiers as energies of images, one change a recipe: classifier, jem, robust_classifier, robust_jem."""
