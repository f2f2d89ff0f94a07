"""The command `barechat`: parse, call, print; what to do and why is decided on the floors below."""
