"""What moves bytes, for the blocking client and for the async one. Each is imported when first needed."""
