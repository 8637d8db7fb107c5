"""Energy-based models and the negatives they are trained against: the companion package of the course."""

__version__ = "0.3.0"
