"""What was measured and drawn, and what a learner calls in a notebook."""
