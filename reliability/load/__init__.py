"""Many genuine events and as many attacks at once, on real parts that run on this machine, and what became of each."""
