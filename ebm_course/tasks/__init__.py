"""Where batches come from and how an answer is scored."""
