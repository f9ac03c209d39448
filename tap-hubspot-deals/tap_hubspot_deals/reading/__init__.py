"""How an account is read: from requests to pages of records, and in which order."""
