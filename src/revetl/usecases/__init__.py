"""What a command means, once for every face: order of syncs, budgets over waterfalls, exit codes. Prints nothing."""
