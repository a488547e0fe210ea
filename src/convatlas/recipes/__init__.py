"""Recipes: the settings of a training as data, from the papers and from today, each with a name."""
