"""Whole tasks of people who meet softmax2d for the first time, by lines that they would type."""
