"""Bulk runs: many requests as fast as the limits allow, each answered once, through kills and new starts."""
