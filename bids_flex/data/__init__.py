"""What bids_flex knows as data rather than as code: strategies, names of networks, meaning of columns, texts."""
