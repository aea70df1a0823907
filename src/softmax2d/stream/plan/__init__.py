"""What a run over files was asked, and how it is cut into tiles."""
