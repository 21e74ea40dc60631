"""What this program costs beside others that do the same: tokens, time and memory, measured by `make bench`."""
