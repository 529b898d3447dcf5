"""The three picture formats, by their headers: signatures, sizes, and what may be opened."""
