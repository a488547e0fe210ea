"""Runs: train a network of the atlas on data by a recipe, and read, evaluate and use the run directory afterwards."""
