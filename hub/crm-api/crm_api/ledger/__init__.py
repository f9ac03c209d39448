"""The ledger: users, what they made, and first answers."""
