"""One file a method: a frozen configuration, the step, and the run."""
