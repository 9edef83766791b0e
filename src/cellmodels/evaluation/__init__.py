"""Measuring a model on clean and shifted test sets, and saliency maps of its decisions."""
