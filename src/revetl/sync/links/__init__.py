"""Links between records: what the model wants, what we made, what is sent."""
