"""A small table that the tests of comparisons share."""

TABLE = """
data = "cells.npz"
shifted = []
parts = { train = 0.6, val = 0.2, test = 0.2 }
seeds = [4]

[recipes]
cleaned = []
cropped = [{ step = "Balance" }, { step = "Crop", size = 12, resize_to = 16 }]

[[rows]]
name = "Base"
model = "baseline_cnn"
recipe = "cleaned"
build = { weights = false, l2 = 0.0 }
train = { epochs = 1, batch_size = 8 }

[[rows]]
name = "Base, cropped"
model = "baseline_cnn"
recipe = "cropped"
train = { epochs = 2, batch_size = 8 }
"""
