"""Reproductions: one engine that knows no method, and a folder for each experiment that runs on it."""
