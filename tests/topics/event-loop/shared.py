"""What several files of these tests share."""
