"""Dreams to look at: what the world model predicts, beside what happened."""
