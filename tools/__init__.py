"""What is made from the code: reference pages of the documentation."""
