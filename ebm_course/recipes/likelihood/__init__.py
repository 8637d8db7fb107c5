"""Maximum likelihood where the answer is known: an enumerable Potts model, and nets in the plane."""
