"""Pure functions on batches of pixels: one parameter value per image, no draws, no files."""
