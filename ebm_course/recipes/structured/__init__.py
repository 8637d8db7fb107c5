"""Taggers, one change a recipe: bilstm, crf, spen_gradient, inference_network; and the tag language models they use."""
