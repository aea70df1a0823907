"""What type checkers and completion say of public calls."""
