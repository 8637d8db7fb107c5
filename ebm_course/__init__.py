"""Energy-based models and the negatives they are trained against: the companion package of the course."""

import os

# Idle threads wait and do not spin, where nothing else was asked for: spinning takes processor time from whoever shares
# the machine. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.3.0"
