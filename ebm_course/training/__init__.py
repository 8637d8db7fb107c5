"""The one training loop of the course, its minibatches and the state it resumes from."""
