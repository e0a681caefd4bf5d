"""The local run's web page: every request as it came, what became of it and why."""
