"""Data sets: their contract, the batches that training draws, and the sets that come with the library."""
