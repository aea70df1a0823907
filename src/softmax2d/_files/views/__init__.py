"""Sources seen differently: scaled, turned, cut, or as other numbers."""
