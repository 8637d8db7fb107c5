"""Recorded results: what was run, on what machine, and the paper's number beside ours."""
