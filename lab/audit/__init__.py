"""The guide about itself: its speed, its scores, its steadiness, other versions."""
