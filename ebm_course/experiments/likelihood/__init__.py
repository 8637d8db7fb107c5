"""Four ways to a likelihood gradient, compared where the likelihood is known."""
