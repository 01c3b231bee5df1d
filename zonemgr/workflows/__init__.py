"""The jobs people ask for, one file each, as lists of steps."""
