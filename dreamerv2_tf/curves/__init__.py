"""Learning curves of runs: read, put into bins, summarised, drawn."""
