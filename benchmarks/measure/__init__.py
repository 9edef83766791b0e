"""Timing contenders against each other, each in its own process."""
