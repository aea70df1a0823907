"""The cases of tools/golden.py."""
