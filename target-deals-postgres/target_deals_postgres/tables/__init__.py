"""Tables as PostgreSQL has them: how they follow their streams, and the SQL that fills them."""
