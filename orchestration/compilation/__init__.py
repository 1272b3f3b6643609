"""`millrace compile`: both tiers checked against the repository, and the files that follow from them."""
