"""Runs: where a recipe, a network and data meet; what a training leaves, and what is asked of it afterwards."""
