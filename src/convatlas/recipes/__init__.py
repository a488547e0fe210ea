"""Recipes as data: the settings of a training, those of the papers and of today, and their names."""
