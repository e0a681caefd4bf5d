"""What the command line needs of each cloud, one file per cloud."""
