"""Where episodes come from: sources by name, weighted mixtures, and episode files."""
