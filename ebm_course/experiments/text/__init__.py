"""FreeLB, CARL and RAR for text classifiers: accuracy, attacks on embeddings, and what their representations become."""
