"""What `benchmarks/imagenette.py` runs: trainings under a clock, the peer, the protocols, the
search."""
