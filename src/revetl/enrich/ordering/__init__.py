"""In which order providers should be asked, and when to stop: learned from the ledger, solved exactly."""
