"""What survives a crash: locks, journals, stages, checkpoints."""
