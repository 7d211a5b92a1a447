"""What the steps of the notebook recipe share. Python 3.9 and newer, the standard library and what ipykernel brings."""
