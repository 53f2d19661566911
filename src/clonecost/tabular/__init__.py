"""Rows of a table: their features, equation solvers and students."""
