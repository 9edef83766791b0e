"""cellmodels trains classifiers on what cellprep wrote. Nothing is in it yet."""
