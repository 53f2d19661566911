"""Tabular data: features and rows, models of a table, equation solvers and students."""
