"""What `benchmarks.fuzz` and `benchmarks.kill_resume` share."""
