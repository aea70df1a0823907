"""The request of a run over files: its places, checked, and its tiles."""
