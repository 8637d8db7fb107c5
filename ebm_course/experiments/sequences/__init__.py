"""Ten-digit addition: the whole of Yin (2023), and what goes beyond."""
