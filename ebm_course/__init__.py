"""Energy-based models and the negatives they are trained against: the companion package of the course."""

import os
import sys

TORCH_CAME_FIRST = "torch" in sys.modules and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
"""Whether torch was loaded before this package, which could not say how its idle threads wait."""

# Idle threads wait and do not spin, where nothing else was asked for: spinning takes processor time from whoever shares
# the machine. OpenMP reads this once, when torch is loaded; see idle_threads for those who loaded it first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.3.0"
