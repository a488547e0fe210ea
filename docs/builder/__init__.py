"""The documentation site in English and Korean:  python -m docs.builder  (make docs).

Pages are written by hand (docs/en, docs/ko, docs/notebooks) or generated from what the program declares: the atlas, the
Python reference, the commands, the recipes, the records. Both kinds are laid out in ``build/docs/LANGUAGE``; Zensical
builds ``build/site/LANGUAGE`` from there and checks links and anchors.

page        one page, and where it stands in the navigation
written     the pages that are written by hand, and the records of the repository
links       links between files of the repository as links between pages
maths       formulas as MathML
notebooks   the notebooks as pages
atlas       a page per network, and the page that helps to choose a family
lectures    figures that lectures get wrong, each with its derivation
reference   the Python reference from docstrings
commands    the command reference from the commands
site        lays the pages out and calls Zensical
"""
