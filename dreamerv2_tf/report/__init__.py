"""What a run shows: logs, videos."""
