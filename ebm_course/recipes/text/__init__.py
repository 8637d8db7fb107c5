"""Text classifiers against perturbed embeddings, one change a recipe: finetune, freelb, then carl or rar."""
