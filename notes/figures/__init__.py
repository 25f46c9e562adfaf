from notes._extras import needs

with needs("figures"):
    import numpy  # noqa: F401 (each figure draws with it)
