"""The classifiers: building them, their saved files, and what the device supports."""
