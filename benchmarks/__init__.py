"""What the receiver costs beside the least that could do its job: ratios within one run, medians with their spread."""
