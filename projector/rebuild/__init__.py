"""A replica's read model built anew in the shadow, proved equal, and flipped at once."""
