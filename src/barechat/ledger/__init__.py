"""What was spent, durably: one SQLite file, one writer thread a process, many readers."""
