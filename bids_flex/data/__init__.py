"""What bids_flex knows as data rather than as code.

Atlases, strategies of denoising, the default multiverse (TOML); what columns mean, references (JSON); pages and methods
texts (``templates/``). Read through ``importlib.resources`` by the room that needs it.
"""
