"""What moves bytes: urllib3 for the blocking client, aiohttp for the async one. Each is imported when first needed."""
