"""Figures of deals as SQL functions, made from the tables that tap and target keep."""
