"""What a run would change: compared in the warehouse, matched and read back at the destination, judged, saved."""
