"""Forgetting a person: who is meant, what is erased, who must never be looked up or sent."""
