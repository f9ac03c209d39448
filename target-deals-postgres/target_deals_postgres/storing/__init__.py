"""What waits, the transactions that store it, and the connection that they go over."""
