"""Data sets as models take them: opened, checked against a model and against each other."""
