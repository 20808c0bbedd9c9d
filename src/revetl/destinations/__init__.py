"""Where records are sent: what the engine asks of a connector, who there is, and one folder for each vendor."""
