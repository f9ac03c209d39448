"""What the tap sent: from bytes to messages, and from records to rows that COPY takes."""
