"""Refusals: what arguments may be, said in one room for every face of the library."""
