"""Training a model: its settings, phases and epochs, checkpoints, and a forecast."""
