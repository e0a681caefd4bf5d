"""Small faults put into the code that decides who may be believed: the tests must notice each, or a table says why not.

The faults are cosmic-ray's. It works on copies below build/mutants, so that the tree stays as it is.
"""
