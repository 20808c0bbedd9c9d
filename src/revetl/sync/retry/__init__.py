"""The retry queue: records that wait, and letting them be sent again."""
