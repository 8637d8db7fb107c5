"""Methods by paper, a folder each: a frozen Config, a step, and ``fit(config, run, ...) -> Fitted``."""
