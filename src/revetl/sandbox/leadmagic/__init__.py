"""LeadMagic as the sandbox serves it."""
