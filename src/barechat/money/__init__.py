"""What calls cost: the price table, the most that a request can cost, and totals."""
