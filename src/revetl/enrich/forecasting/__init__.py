"""What a waterfall will cost and find, and how long it takes, before anything is spent."""
